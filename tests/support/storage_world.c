#include "tests/support/storage_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/disk_pool.h"
#include "common/base/loop.h"

enum { DEADLINE_S = 20, THREADS = 3, WAITING_MAX = 256, BYTES_MAX = 64 << 20 };

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    fail_msg("nothing happened for twenty seconds");
}

void storage_world_start(struct storage_world *world)
{
    static const struct timeval limit = {.tv_sec = DEADLINE_S};

    memset(world, 0, sizeof(*world));
    buf_init(&world->bytes, BYTES_MAX);
    (void)snprintf(world->path, sizeof(world->path), "/tmp/arkrelay-storage-XXXXXX");
    assert_non_null(mkdtemp(world->path));
    world->loop = loop_create();
    assert_non_null(world->loop);
    world->deadline = evtimer_new(loop_base(world->loop), on_deadline, NULL);
    assert_int_equal(evtimer_add(world->deadline, &limit), 0);
    world->pool = disk_pool_create(THREADS, WAITING_MAX);
    assert_non_null(world->pool);
    world->disk = disk_create(world->pool, world->loop);
    assert_non_null(world->disk);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat;
    (void)type;
    (void)where;
    return remove(path);
}

void storage_world_end(struct storage_world *world)
{
    assert_null(disk_destroy(world->disk));
    assert_null(storage_destroy(world->storage));
    assert_null(disk_pool_destroy(world->pool));
    event_free(world->deadline);
    assert_null(loop_destroy(world->loop));
    assert_int_equal(nftw(world->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    buf_deinit(&world->bytes);
}

void storage_world_wait(struct storage_world *world, const int *counter)
{
    int before = *counter;

    while (*counter == before)
        loop_turn(world->loop, true);
}

/* -- writing */

static void on_room(void *arg)
{
    struct storage_world *world = arg;

    world->rooms++;
}

static void on_end(const struct storage_outcome *outcome, void *arg)
{
    struct storage_world *world = arg;

    assert_int_equal(outcome->end == STORAGE_DONE, !*outcome->words);
    world->outcome = *outcome;
    world->ends++;
}

const struct spool_events storage_world_spool_events = {.on_room = on_room, .on_end = on_end};

static enum storage_end await_end(struct storage_world *world, int before)
{
    assert_int_equal(world->ends, before); /* never from inside the start */
    storage_world_wait(world, &world->ends);
    return world->outcome.end;
}

enum storage_end world_spool(struct storage_world *world, const void *bytes, size_t len, int64_t size, int64_t size_max,
                             struct spool **out)
{
    struct spool_events events = storage_world_spool_events;
    int before = world->ends;
    size_t at = 0;

    events.arg = world;
    assert_int_equal(storage_spool(world->storage, size, size_max, &events, out), 0);
    while (at < len && world->ends == before) {
        at += spool_write(*out, (const char *)bytes + at, len - at);
        if (at < len)
            loop_turn(world->loop, true);
    }
    if (world->ends == before)
        spool_end(*out);
    if (world->ends == before)
        storage_world_wait(world, &world->ends);
    assert_int_equal(world->ends, before + 1);
    return world->outcome.end;
}

enum storage_end world_put(struct storage_world *world, struct spool *spool, const char *name, const char *owner)
{
    struct storage_call *call;
    int before = world->ends;

    assert_int_equal(storage_put(world->storage, spool, name, owner, on_end, world, &call), 0);
    return await_end(world, before);
}

enum storage_end world_store(struct storage_world *world, const void *bytes, size_t len, const char *name)
{
    struct spool *spool;
    enum storage_end end = world_spool(world, bytes, len, (int64_t)len, (int64_t)len, &spool);

    if (end == STORAGE_DONE)
        end = world_put(world, spool, name, "shop");
    assert_null(spool_destroy(spool));
    return end;
}

/* -- reading */

struct reading {
    struct storage_world *world;
    struct storage_call *call;
    struct storage_range range;
};

static void on_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct reading *reading = arg;

    assert_int_equal(range->at, 0);
    assert_int_equal(range->len, about->size);
    reading->world->about = *about;
    reading->world->opens++;
    range->at = reading->range.at;
    range->len = reading->range.len < 0 ? about->size - range->at : reading->range.len;
    storage_get_next(reading->call);
}

static void on_bytes(const char *bytes, size_t len, void *arg)
{
    struct reading *reading = arg;

    assert_in_range(len, 1, STORAGE_READ_MAX);
    buf_add(&reading->world->bytes, bytes, len);
    storage_get_next(reading->call);
}

static void on_read(const struct storage_outcome *outcome, void *arg)
{
    struct reading *reading = arg;

    on_end(outcome, reading->world);
}

enum storage_end world_get(struct storage_world *world, const char *name, int64_t at, int64_t len)
{
    struct reading reading = {
        .world = world, .range = {at, len}
    };
    const struct storage_get_events events = {
        .on_open = on_open, .on_bytes = on_bytes, .on_end = on_read, .arg = &reading};
    int before = world->ends;

    buf_clear(&world->bytes);
    assert_int_equal(storage_get(world->storage, name, &events, &reading.call), 0);
    return await_end(world, before);
}

/* -- cancelling a get */

void world_fail_on_end(const struct storage_outcome *outcome, void *arg)
{
    (void)arg;
    fail_msg("called although cancelled: %s", outcome->words);
}

static void cancel(struct world_cancelled_get *get)
{
    if (get->after_next)
        storage_get_next(get->call);
    storage_cancel(get->call);
}

static void cancel_in_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct world_cancelled_get *get = arg;

    (void)about;
    (void)range;
    get->opens++;
    if (get->in_open)
        cancel(get);
    else
        storage_get_next(get->call);
}

static void cancel_in_bytes(const char *bytes, size_t len, void *arg)
{
    struct world_cancelled_get *get = arg;

    (void)bytes;
    (void)len;
    get->bytes++;
    cancel(get);
}

void world_get_cancelled(struct storage_world *world, const char *name, struct world_cancelled_get *get)
{
    const struct storage_get_events events = {
        .on_open = cancel_in_open, .on_bytes = cancel_in_bytes, .on_end = world_fail_on_end, .arg = get};

    assert_int_equal(storage_get(world->storage, name, &events, &get->call), 0);
}

/* -- deleting */

enum storage_end world_delete(struct storage_world *world, const char *name)
{
    struct storage_call *call;
    int before = world->ends;

    assert_int_equal(storage_delete(world->storage, name, on_end, world, &call), 0);
    return await_end(world, before);
}

static void on_swept(const struct storage_outcome *outcome, int deleted, bool has_more, void *arg)
{
    struct storage_world *world = arg;

    world->deleted = deleted;
    world->has_more = has_more;
    on_end(outcome, world);
}

enum storage_end world_sweep(struct storage_world *world, int today, int max)
{
    struct storage_call *call;
    int before = world->ends;

    assert_int_equal(storage_sweep(world->storage, today, max, on_swept, world, &call), 0);
    return await_end(world, before);
}

unsigned char *world_picture(size_t len, unsigned seed)
{
    static const unsigned char head[] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x05\0\0\0\x07";
    unsigned char *bytes = malloc(len);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (unsigned char)(seed >> 16);
    }
    memcpy(bytes, head, len < sizeof(head) - 1 ? len : sizeof(head) - 1);
    return bytes;
}
