/* Pictures in a directory on a real disk: atomic writes, range reads, deletion, sweeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/disk_pool.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/storage/directory.h"
#include "tests/support/storage_world.h"

enum { SMALL = 1000, LARGE = 3 << 20, TODAY = 20794 };

#define NAME  "20261207/0123456789abcdef0123456789abcdef"
#define OTHER "20261207/fedcba9876543210fedcba9876543210"

static struct storage *open_with(struct storage_world *world, int free_min_percent)
{
    const struct directory_setup setup = {
        .disk = world->disk, .path = world->path, .free_min_percent = free_min_percent};
    struct storage *storage = NULL;
    struct buf why;

    buf_init(&why, 1000);
    assert_int_equal(directory_open(&setup, &storage, &why), 0);
    assert_string_equal(buf_text(&why), "");
    buf_deinit(&why);
    return storage;
}

static void start_world(struct storage_world *world)
{
    storage_world_start(world);
    world->storage = open_with(world, 0);
}

/* Entries of a folder below the storage's directory, without dots; 0 if there is none. */
static int count_entries(const struct storage_world *world, const char *folder)
{
    char path[256];
    struct dirent *entry;
    int count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/%s", world->path, folder);
    dir = opendir(path);
    if (!dir)
        return 0;
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static void drain(struct storage_world *world)
{
    while (disk_in_flight(world->disk))
        loop_turn(world->loop, true);
}

/* -- writing and reading */

static void test_a_picture_is_read_as_it_was_written(void **state)
{
    static const size_t sizes[] = {24, 25, SMALL, STORAGE_READ_MAX, STORAGE_READ_MAX + 1, SPOOL_BUFFER * 2, LARGE};
    struct storage_world world;

    (void)state;
    start_world(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        unsigned char *bytes = world_picture(sizes[i], (unsigned)i), digest[SHA256_SIZE];
        char hex[SHA256_HEX_SIZE];

        assert_int_equal(world_store(&world, bytes, sizes[i], NAME), STORAGE_DONE);
        assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_DONE);
        assert_int_equal(world.about.size, sizes[i]);
        assert_int_equal(world.about.image.type, IMAGE_PNG);
        assert_int_equal(world.about.image.width, 5);
        assert_int_equal(world.about.image.height, 7);
        assert_string_equal(world.about.owner, "shop");
        assert_int_equal(sha256(digest, (char *)bytes, sizes[i]), 0);
        sha256_hex(hex, digest);
        assert_string_equal(world.about.sha256, hex);
        assert_int_equal(world.bytes.len, sizes[i]);
        assert_memory_equal(world.bytes.data, bytes, sizes[i]);
        free(bytes);
    }
    drain(&world);
    assert_int_equal(count_entries(&world, "20261207"), 1);
    assert_int_equal(count_entries(&world, "tmp"), 0);
    storage_world_end(&world);
}

static void test_ranges(void **state)
{
    static const struct storage_range ranges[] = {
        {0,         1         },
        {1,         1         },
        {SMALL - 1, 1         },
        {SMALL,     0         },
        {0,         0         },
        {10,        SMALL - 10},
        {500,       17        }
    };
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world, bytes, SMALL, NAME), STORAGE_DONE);
    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
        assert_int_equal(world_get(&world, NAME, ranges[i].at, ranges[i].len), STORAGE_DONE);
        assert_int_equal(world.bytes.len, ranges[i].len);
        assert_memory_equal(buf_text(&world.bytes), bytes + ranges[i].at, (size_t)ranges[i].len);
    }
    free(bytes);
    storage_world_end(&world);
}

static void test_absent_and_invalid_files_are_not_read(void **state)
{
    struct storage_world world;
    char path[256];
    int fd;

    (void)state;
    start_world(&world);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(world_delete(&world, NAME), STORAGE_MISSING);
    assert_int_equal(world.opens, 0);

    /* a folder that is a file, a file that is a link, a file without a record */
    (void)snprintf(path, sizeof(path), "%s/20261207", world.path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/%s", world.path, NAME);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening it must not block a thread */
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_FAILED);
    assert_int_equal(unlink(path), 0);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 4096), 0);
    close(fd);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_FAILED);
    assert_int_equal(world.opens, 0);
    storage_world_end(&world);
}

static void test_a_truncated_file_is_an_error(void **state)
{
    unsigned char *bytes = world_picture(LARGE, 1);
    struct storage_world world;
    char path[256];

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world, bytes, LARGE, NAME), STORAGE_DONE);
    (void)snprintf(path, sizeof(path), "%s/%s", world.path, NAME);
    assert_int_equal(truncate(path, LARGE), 0);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_FAILED);
    assert_int_equal(world.opens, 0);
    free(bytes);
    storage_world_end(&world);
}

/* -- refused writes */

static void test_bytes_that_are_not_an_image_are_refused_early(void **state)
{
    static char page[LARGE] = "<!doctype html>";
    struct spool *spool;
    struct storage_world world;

    (void)state;
    start_world(&world);
    assert_int_equal(world_spool(&world, page, sizeof(page), -1, LARGE, &spool), STORAGE_INVALID);
    assert_string_equal(world.outcome.words, "the first bytes are not those of an image");
    assert_int_equal(spool_write(spool, page, 1000), 1000); /* dropped */
    assert_null(spool_destroy(spool));
    assert_int_equal(world_spool(&world, "\x89PN", 3, -1, LARGE, &spool), STORAGE_INVALID);
    assert_null(spool_destroy(spool));
    assert_int_equal(world_spool(&world, "", 0, -1, LARGE, &spool), STORAGE_INVALID);
    assert_null(spool_destroy(spool));
    drain(&world);
    assert_int_equal(count_entries(&world, "tmp"), 0);
    storage_world_end(&world);
}

/* The type is recognised even if the bytes arrive one by one. */
static void test_a_picture_in_pieces_of_one_byte(void **state)
{
    struct spool_events events = storage_world_spool_events;
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;
    struct spool *spool;

    (void)state;
    start_world(&world);
    events.arg = &world;
    assert_int_equal(storage_spool(world.storage, -1, SMALL, &events, &spool), 0);
    for (size_t i = 0; i < SMALL; i++) {
        assert_int_equal(spool_write(spool, bytes + i, 1), 1);
        if (i < 20)
            drain(&world);
    }
    spool_end(spool);
    storage_world_wait(&world, &world.ends);
    assert_int_equal(world.outcome.end, STORAGE_DONE);
    assert_int_equal(spool_about(spool)->size, SMALL);
    assert_null(spool_destroy(spool));
    free(bytes);
    storage_world_end(&world);
}

static void test_a_picture_of_the_wrong_length_is_refused(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;
    struct spool *spool;

    (void)state;
    start_world(&world);
    assert_int_equal(world_spool(&world, bytes, SMALL, SMALL + 1, LARGE, &spool), STORAGE_INVALID);
    assert_string_equal(world.outcome.words, "1000 bytes arrived instead of 1001");
    assert_null(spool_destroy(spool));
    assert_int_equal(world_spool(&world, bytes, SMALL, SMALL - 1, LARGE, &spool), STORAGE_INVALID);
    assert_null(spool_destroy(spool));
    assert_int_equal(world_spool(&world, bytes, SMALL, -1, SMALL, &spool), STORAGE_DONE);
    assert_null(spool_destroy(spool));
    assert_int_equal(world_spool(&world, bytes, SMALL, -1, SMALL - 1, &spool), STORAGE_INVALID);
    assert_string_equal(world.outcome.words, "more than 999 bytes");
    assert_null(spool_destroy(spool));
    free(bytes);
    storage_world_end(&world);
}

static void test_a_nearly_full_disk_refuses_writes(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;
    struct spool *spool;

    (void)state;
    storage_world_start(&world);
    world.storage = open_with(&world, 101); /* more than any disk has */
    assert_int_equal(world_spool(&world, bytes, SMALL, SMALL, SMALL, &spool), STORAGE_FULL);
    assert_non_null(strstr(world.outcome.words, "101 % is the minimum"));
    assert_null(spool_destroy(spool));
    drain(&world);
    assert_int_equal(count_entries(&world, "tmp"), 0);
    free(bytes);
    storage_world_end(&world);
}

/* A file-size limit fails a write as a full disk does. */
static void test_a_failed_write_is_reported_and_leaves_nothing(void **state)
{
    struct rlimit before, small;
    unsigned char *bytes = world_picture(LARGE, 1);
    struct storage_world world;
    struct spool *spool;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    start_world(&world);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = LARGE / 2, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(world_spool(&world, bytes, LARGE, LARGE, LARGE, &spool), STORAGE_FULL);
    assert_null(spool_destroy(spool));
    small.rlim_cur = SMALL + 10; /* the picture fits, its record does not */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(world_spool(&world, bytes, SMALL, SMALL, SMALL, &spool), STORAGE_DONE);
    assert_int_equal(world_put(&world, spool, NAME, "shop"), STORAGE_FULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(count_entries(&world, "20261207"), 0);
    assert_int_equal(world_put(&world, spool, NAME, "shop"), STORAGE_DONE); /* the same spool, again */
    assert_null(spool_destroy(spool));
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_DONE);
    assert_memory_equal(world.bytes.data, bytes, SMALL);
    drain(&world);
    assert_int_equal(count_entries(&world, "tmp"), 0);
    free(bytes);
    storage_world_end(&world);
}

/* -- flow and cancellation */

static void test_a_full_buffer_pauses_the_writer(void **state)
{
    struct spool_events events = storage_world_spool_events;
    unsigned char *bytes = world_picture(LARGE, 1);
    struct storage_world world;
    size_t at, first;
    struct spool *spool;

    (void)state;
    start_world(&world);
    events.arg = &world;
    assert_int_equal(storage_spool(world.storage, LARGE, LARGE, &events, &spool), 0);
    first = at = spool_write(spool, bytes, LARGE);
    assert_int_equal(first, SPOOL_BUFFER);
    assert_int_equal(spool_room(spool), 0);
    assert_int_equal(spool_write(spool, bytes + at, 1), 0);
    while (at < LARGE) {
        storage_world_wait(&world, &world.rooms);
        assert_true(spool_room(spool) >= SPOOL_BUFFER / 2);
        at += spool_write(spool, bytes + at, LARGE - at);
    }
    spool_end(spool);
    storage_world_wait(&world, &world.ends);
    assert_int_equal(world.outcome.end, STORAGE_DONE);
    assert_int_equal(world_put(&world, spool, NAME, "shop"), STORAGE_DONE);
    assert_null(spool_destroy(spool));
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_DONE);
    assert_memory_equal(world.bytes.data, bytes, LARGE);
    free(bytes);
    storage_world_end(&world);
}

/* The writer pauses before the buffer is full, as a download does. */
static void test_a_writer_waits_for_room(void **state)
{
    enum { PIECE = 16 << 10 };
    struct spool_events events = storage_world_spool_events;
    unsigned char *bytes = world_picture(LARGE, 1);
    struct storage_world world;
    struct spool *spool;

    (void)state;
    start_world(&world);
    events.arg = &world;
    assert_int_equal(storage_spool(world.storage, LARGE, LARGE, &events, &spool), 0);
    for (size_t at = 0; at < LARGE; at += PIECE) {
        if (spool_room(spool) < PIECE) {
            int before = world.rooms;

            spool_wait_for_room(spool);
            assert_int_equal(world.rooms, before);
            storage_world_wait(&world, &world.rooms);
        }
        assert_int_equal(spool_write(spool, bytes + at, PIECE), PIECE);
    }
    assert_true(world.rooms > 0);
    spool_end(spool);
    storage_world_wait(&world, &world.ends);
    assert_int_equal(world.outcome.end, STORAGE_DONE);
    assert_null(spool_destroy(spool));
    free(bytes);
    storage_world_end(&world);
}

static void test_nothing_is_called_after_a_cancellation(void **state)
{
    const struct spool_events silent = {.on_end = world_fail_on_end};
    unsigned char *bytes = world_picture(SMALL, 1);
    const struct storage_get_events none = {.on_end = world_fail_on_end};
    struct storage_call *call;
    struct storage_world world;
    struct spool *spool;

    (void)state;
    start_world(&world);
    assert_int_equal(storage_spool(world.storage, -1, LARGE, &silent, &spool), 0);
    assert_null(spool_destroy(spool)); /* while the file is opened */
    assert_int_equal(storage_spool(world.storage, -1, LARGE, &silent, &spool), 0);
    drain(&world);
    assert_int_equal(spool_write(spool, bytes, SMALL), SMALL);
    spool_end(spool);
    assert_null(spool_destroy(spool)); /* while it is written */
    drain(&world);
    assert_int_equal(count_entries(&world, "tmp"), 0);

    assert_int_equal(world_spool(&world, bytes, SMALL, SMALL, SMALL, &spool), STORAGE_DONE);
    assert_int_equal(storage_put(world.storage, spool, NAME, "shop", world_fail_on_end, NULL, &call), 0);
    assert_null(spool_destroy(spool));
    storage_cancel(call);
    drain(&world);
    assert_int_equal(count_entries(&world, "tmp"), 0);

    assert_int_equal(world_store(&world, bytes, SMALL, NAME), STORAGE_DONE);
    assert_int_equal(storage_get(world.storage, NAME, &none, &call), 0);
    storage_cancel(call);
    assert_int_equal(storage_delete(world.storage, OTHER, world_fail_on_end, NULL, &call), 0);
    storage_cancel(call);
    drain(&world);
    free(bytes);
    storage_world_end(&world);
}

static void test_a_get_is_cancelled_from_its_own_callbacks(void **state)
{
    unsigned char *bytes = world_picture(LARGE, 1);
    struct storage_world world;

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world, bytes, LARGE, NAME), STORAGE_DONE);
    for (int i = 0; i < 4; i++) {
        struct world_cancelled_get get = {.in_open = i & 1, .after_next = i & 2};

        world_get_cancelled(&world, NAME, &get);
        drain(&world);
        assert_int_equal(get.opens, 1);
        assert_int_equal(get.bytes, !get.in_open);
    }
    free(bytes);
    storage_world_end(&world);
}

struct owner {
    struct spool *spool;
    int ends;
};

static void destroy_in_on_end(const struct storage_outcome *outcome, void *arg)
{
    struct owner *owner = arg;

    assert_int_equal(outcome->end, STORAGE_BUSY);
    owner->ends++;
    owner->spool = spool_destroy(owner->spool);
}

/* The disk is destroyed while files are written. Each spool's on_end is called, and no file is left. */
static void test_the_disk_may_be_destroyed_during_writes(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct owner owners[20] = {0};
    struct storage_world world;

    (void)state;
    start_world(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(owners); i++) {
        const struct spool_events events = {.on_end = destroy_in_on_end, .arg = &owners[i]};

        assert_int_equal(storage_spool(world.storage, SMALL, LARGE, &events, &owners[i].spool), 0);
        assert_int_equal(spool_write(owners[i].spool, bytes, SMALL), SMALL);
        spool_end(owners[i].spool);
    }
    assert_null(disk_destroy(world.disk));
    for (size_t i = 0; i < ARRAY_LENGTH(owners); i++)
        assert_int_equal(owners[i].ends, 1);
    assert_int_equal(count_entries(&world, "tmp"), 0);
    world.disk = disk_create(world.pool, world.loop);
    free(bytes);
    storage_world_end(&world);
}

/* -- deleting */

static void test_a_deleted_picture_is_missing(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world, bytes, SMALL, NAME), STORAGE_DONE);
    assert_int_equal(world_store(&world, bytes, SMALL, OTHER), STORAGE_DONE);
    assert_int_equal(world_delete(&world, NAME), STORAGE_DONE);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(world_get(&world, OTHER, 0, -1), STORAGE_DONE);
    assert_int_equal(world_delete(&world, NAME), STORAGE_MISSING);
    free(bytes);
    storage_world_end(&world);
}

static void store_on(struct storage_world *world, int day, int count)
{
    unsigned char *bytes = world_picture(SMALL, 1);

    for (int i = 0; i < count; i++) {
        char id[STORAGE_ID_SIZE], name[STORAGE_NAME_SIZE];

        storage_id_make(id);
        storage_name_of_picture(name, day, id);
        assert_int_equal(world_store(world, bytes, SMALL, name), STORAGE_DONE);
    }
    free(bytes);
}

static void test_a_sweep_deletes_old_days_step_by_step(void **state)
{
    struct storage_world world;
    char path[256];

    (void)state;
    start_world(&world);
    store_on(&world, TODAY, 1);
    store_on(&world, TODAY - 1, 1); /* expired, but swept one day late */
    store_on(&world, TODAY - 2, 3);
    store_on(&world, TODAY - 9, 2);
    (void)snprintf(path, sizeof(path), "%s/20200230", world.path); /* not a date, so not one of ours */
    assert_int_equal(mkdir(path, 0700), 0);

    assert_int_equal(world_sweep(&world, TODAY, 1), STORAGE_DONE);
    assert_int_equal(world.deleted, 1);
    assert_true(world.has_more);
    assert_int_equal(count_entries(&world, "20261128"), 1); /* the oldest day first */
    assert_int_equal(world_sweep(&world, TODAY, 2), STORAGE_DONE);
    assert_int_equal(world.deleted, 2);
    assert_int_equal(count_entries(&world, "20261128"), 0);
    assert_int_equal(count_entries(&world, "20261205"), 2);
    assert_int_equal(world_sweep(&world, TODAY, 100), STORAGE_DONE);
    assert_int_equal(world.deleted, 2);
    assert_false(world.has_more);
    assert_int_equal(count_entries(&world, "20261205"), 0);
    assert_int_equal(count_entries(&world, "20261206"), 1);
    assert_int_equal(count_entries(&world, "20261207"), 1);
    assert_int_equal(count_entries(&world, ""), 5); /* two days, tmp, the identity, and the folder that is not ours */
    assert_int_equal(world_sweep(&world, TODAY, 100), STORAGE_DONE);
    assert_int_equal(world.deleted, 0);
    storage_world_end(&world);
}

static void test_a_sweep_stops_at_its_maximum(void **state)
{
    struct storage_world world;

    (void)state;
    start_world(&world);
    store_on(&world, TODAY - 2, 2);
    assert_int_equal(world_sweep(&world, TODAY, 2), STORAGE_DONE);
    assert_int_equal(world.deleted, 2);
    assert_false(world.has_more);
    storage_world_end(&world);
}

static void make_folder(const struct storage_world *world, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", world->path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_file(const struct storage_world *world, const char *name)
{
    char path[256];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", world->path, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* Cameras name folders like days. */
static void test_a_sweep_keeps_the_files_of_others(void **state)
{
    struct storage_world world;

    (void)state;
    start_world(&world);
    store_on(&world, TODAY - 9, 2);
    make_folder(&world, "20240101");
    make_file(&world, "20240101/IMG_0001.JPG");
    make_file(&world, "20261128/notes.txt");
    assert_int_equal(world_sweep(&world, TODAY, 100), STORAGE_FAILED);
    assert_int_equal(world.deleted, 2);
    assert_int_equal(count_entries(&world, "20240101"), 1);
    assert_int_equal(count_entries(&world, "20261128"), 1);
    storage_world_end(&world);
}

/* The sweep must not delete a foreign folder within a day, or a file that has the name of a day. */
static void test_a_sweep_passes_what_it_cannot_delete(void **state)
{
    struct storage_world world;

    (void)state;
    start_world(&world);
    store_on(&world, TODAY - 9, 2);
    store_on(&world, TODAY - 2, 3);
    make_folder(&world, "20261128/notes");
    make_file(&world, "20200101");
    assert_int_equal(world_sweep(&world, TODAY, 100), STORAGE_FAILED);
    assert_int_equal(world.deleted, 5);
    assert_false(world.has_more);
    assert_int_equal(count_entries(&world, "20261128"), 1);
    assert_int_equal(world_sweep(&world, TODAY, 100), STORAGE_FAILED);
    assert_int_equal(world.deleted, 0);
    assert_false(world.has_more);
    storage_world_end(&world);
}

/* -- the directory is removed while it is used */

static void write_identity(const struct storage_world *world, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/arkrelay-storage", world->path);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    (void)fclose(file);
}

static void remove_entry(const struct storage_world *world, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s%s", world->path, name);
    assert_int_equal(remove(path), 0);
}

static void test_a_removed_directory_of_temporary_files_is_created_again(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;

    (void)state;
    start_world(&world);
    remove_entry(&world, "/tmp");
    assert_int_equal(world_store(&world, bytes, SMALL, NAME), STORAGE_DONE);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_DONE);
    free(bytes);
    storage_world_end(&world);
}

static void nothing_is_known(struct storage_world *world, const unsigned char *bytes)
{
    struct spool *spool = NULL;

    if (world_spool(world, bytes, SMALL, SMALL, SMALL, &spool) == STORAGE_DONE)
        assert_int_equal(world_put(world, spool, NAME, "shop"), STORAGE_FAILED);
    else
        assert_int_equal(world->outcome.end, STORAGE_FAILED);
    assert_null(spool_destroy(spool));
    assert_int_equal(world_get(world, NAME, 0, -1), STORAGE_FAILED);
    assert_int_equal(world_delete(world, NAME), STORAGE_FAILED);
    assert_int_equal(world_sweep(world, TODAY, 10), STORAGE_FAILED);
}

/* Pictures must not count as missing then. Another directory is not taken for it. */
static void test_a_removed_directory_is_used_again_when_it_is_restored(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct storage_world world;
    char text[128];

    (void)state;
    start_world(&world);
    (void)snprintf(text, sizeof(text), "arkrelay storage 1 %s\n",
                   storage_identity(world.storage) + strlen("directory "));
    assert_int_equal(world_store(&world, bytes, SMALL, NAME), STORAGE_DONE);
    drain(&world);
    remove_entry(&world, "/" NAME);
    remove_entry(&world, "/20261207");
    remove_entry(&world, "/tmp");
    remove_entry(&world, "/arkrelay-storage");
    remove_entry(&world, "");
    nothing_is_known(&world, bytes);
    assert_int_equal(mkdir(world.path, 0700), 0);
    nothing_is_known(&world, bytes);
    write_identity(&world, text);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(world_store(&world, bytes, SMALL, NAME), STORAGE_DONE);
    assert_int_equal(world_get(&world, NAME, 0, -1), STORAGE_DONE);
    assert_int_equal(count_entries(&world, "20261207"), 1);
    free(bytes);
    storage_world_end(&world);
}

/* -- other processes */

static void test_the_identity_belongs_to_the_directory(void **state)
{
    struct storage_world world, other;
    struct storage *again;

    (void)state;
    start_world(&world);
    start_world(&other);
    again = open_with(&world, 0);
    assert_string_equal(storage_identity(world.storage), storage_identity(again));
    assert_string_not_equal(storage_identity(world.storage), storage_identity(other.storage));
    assert_int_equal(strlen(storage_identity(again)), strlen("directory ") + 32);
    assert_null(storage_destroy(again));
    storage_world_end(&other);
    storage_world_end(&world);
}

/* Several processes start on an empty directory at once. */
static void test_processes_that_start_at_once_read_the_same_identity(void **state)
{
    enum { PROCESSES = 8 };
    char identities[PROCESSES][STORAGE_IDENTITY_SIZE];
    struct storage_world world;
    int pipes[PROCESSES][2];

    (void)state;
    storage_world_start(&world);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        if (fork() == 0) {
            const char *identity = storage_identity(open_with(&world, 0));

            _exit(write(pipes[i][1], identity, strlen(identity) + 1) < 0);
        }
        close(pipes[i][1]);
    }
    for (int i = 0; i < PROCESSES; i++) {
        assert_true(read(pipes[i][0], identities[i], sizeof(identities[i])) > 0);
        assert_string_equal(identities[i], identities[0]);
        close(pipes[i][0]);
        (void)wait(NULL);
    }
    assert_int_equal(count_entries(&world, "tmp"), 0);
    storage_world_end(&world);
}

/* One process is killed while it writes. Another process that writes keeps its file. */
static void test_files_of_killed_processes_are_removed(void **state)
{
    struct storage_world world;
    struct spool_dir dir;
    struct storage *again;
    char path[256], name[SPOOL_NAME_SIZE], word;
    int pipes[2], mine;
    pid_t child;

    (void)state;
    start_world(&world);
    dir.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir.fd >= 0);
    assert_int_equal(openat(dir.fd, "tmp/arkrelay-notes.txt", O_CREAT | O_CLOEXEC | O_RDONLY, 0600) < 0,
                     0); /* not ours */
    close(dir.fd);
    (void)snprintf(path, sizeof(path), "%s/tmp", world.path);
    dir.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mine = spool_dir_create(&dir, name);
    assert_true(mine >= 0);
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        (void)close(mine);
        word = spool_dir_create(&dir, name) >= 0 ? 'y' : 'n';
        (void)!write(pipes[1], &word, 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(pipes[0], &word, 1), 1);
    assert_int_equal(word, 'y');
    assert_int_equal(spool_dir_clean(&dir, 100), 0);
    assert_int_equal(count_entries(&world, "tmp"), 3);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    again = open_with(&world, 0);
    assert_int_equal(count_entries(&world, "tmp"), 2);
    close(mine);
    assert_int_equal(world_sweep(&world, TODAY, 10), STORAGE_DONE); /* a sweep removes them too */
    assert_int_equal(count_entries(&world, "tmp"), 1);
    assert_null(storage_destroy(again));
    close(dir.fd);
    close(pipes[0]);
    close(pipes[1]);
    storage_world_end(&world);
}

static const struct {
    const char *name, *path, *text; /* of its identity file */
    const char *why;
} bad_directories[] = {
    {"a relative path",             "storage",           NULL,                                                      "must begin with /"                        },
    {"no parent",                   "/no/such/folder",   NULL,                                                      "cannot open /no/such/folder: No such file"},
    {"a file",                      "/etc/passwd",       NULL,                                                      "cannot open /etc/passwd: Not a directory" },
    {"a read-only file system",     "/proc/self/fdinfo", NULL,                                                      "cannot"                                   },
    {"an empty identity",           NULL,                "",                                                        "is damaged"                               },
    {"an identity of another kind", NULL,                "arkrelay storage 2 0123456789abcdef0123456789abcdef\n",   "is damaged"                               },
    {"a long identity",             NULL,                "arkrelay storage 1 0123456789abcdef0123456789abcdef\n\n", "is damaged"                               },
    {"an identity in capitals",     NULL,                "arkrelay storage 1 0123456789ABCDEF0123456789abcdef\n",   "is damaged"                               },
};

static void test_unusable_directories_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad_directories); i++) {
        struct storage *storage = NULL;
        struct storage_world world;
        struct buf why;

        print_message("  %s\n", bad_directories[i].name);
        storage_world_start(&world);
        buf_init(&why, 1000);
        if (bad_directories[i].text)
            write_identity(&world, bad_directories[i].text);
        assert_int_equal(
            directory_open(
                &(struct directory_setup){.disk = world.disk,
                                          .path = bad_directories[i].path ? bad_directories[i].path : world.path},
                &storage, &why),
            ERR_SYSTEM);
        assert_null(storage);
        assert_non_null(strstr(buf_text(&why), bad_directories[i].why));
        buf_deinit(&why);
        storage_world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_picture_is_read_as_it_was_written),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_absent_and_invalid_files_are_not_read),
        cmocka_unit_test(test_a_truncated_file_is_an_error),
        cmocka_unit_test(test_bytes_that_are_not_an_image_are_refused_early),
        cmocka_unit_test(test_a_picture_in_pieces_of_one_byte),
        cmocka_unit_test(test_a_picture_of_the_wrong_length_is_refused),
        cmocka_unit_test(test_a_nearly_full_disk_refuses_writes),
        cmocka_unit_test(test_a_failed_write_is_reported_and_leaves_nothing),
        cmocka_unit_test(test_a_full_buffer_pauses_the_writer),
        cmocka_unit_test(test_a_writer_waits_for_room),
        cmocka_unit_test(test_nothing_is_called_after_a_cancellation),
        cmocka_unit_test(test_a_get_is_cancelled_from_its_own_callbacks),
        cmocka_unit_test(test_the_disk_may_be_destroyed_during_writes),
        cmocka_unit_test(test_a_deleted_picture_is_missing),
        cmocka_unit_test(test_a_sweep_deletes_old_days_step_by_step),
        cmocka_unit_test(test_a_sweep_stops_at_its_maximum),
        cmocka_unit_test(test_a_sweep_keeps_the_files_of_others),
        cmocka_unit_test(test_a_sweep_passes_what_it_cannot_delete),
        cmocka_unit_test(test_a_removed_directory_of_temporary_files_is_created_again),
        cmocka_unit_test(test_a_removed_directory_is_used_again_when_it_is_restored),
        cmocka_unit_test(test_the_identity_belongs_to_the_directory),
        cmocka_unit_test(test_processes_that_start_at_once_read_the_same_identity),
        cmocka_unit_test(test_files_of_killed_processes_are_removed),
        cmocka_unit_test(test_unusable_directories_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
