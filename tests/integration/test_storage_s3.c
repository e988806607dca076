/* Pictures in a bucket. The server checks every signature with code of its own. */
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
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/disk_pool.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/storage/s3.h"
#include "common/web/download.h"
#include "common/web/web.h"
#include "tests/support/s3_fixture.h"
#include "tests/support/storage_world.h"

enum { SMALL = 1000, LARGE = 3 << 20, TODAY = 20794 };

#define NAME  "20261207/0123456789abcdef0123456789abcdef"
#define OTHER "20261207/fedcba9876543210fedcba9876543210"

struct world {
    struct storage_world base; /* first: its steps get it */
    struct s3_fixture server;
    struct web *web;
    const char *prefix; /* "" or "/..." */
    enum s3_style style;
    const char *access, *secret, *bucket;
    bool has_s3rver;
    int64_t (*wall_ms)(void);
};

static int64_t an_hour_ago(void)
{
    return clock_wall_ms() - 3600 * 1000;
}

/* False if s3rver is not installed; then only the base is started. */
static bool try_start(struct world *world)
{
    struct web_setup web = {.connect_ms = 5000, .user_agent = "test"};
    const char *bucket = world->bucket ? world->bucket : S3_TEST_BUCKET;
    const char *prefix = world->prefix ? world->prefix : "";
    char url[128], endpoint[64], spool[128];
    struct s3_bucket parsed;
    struct s3_setup setup = {
        .bucket = &parsed,
        .access_key = world->access ? world->access : S3_TEST_ACCESS,
        .secret_key = world->secret ? world->secret : S3_TEST_SECRET,
        .session_token = "",
        .spool_path = spool,
        .timeout_ms = 8000,
        .transfer_ms = 10000,
        .wall_ms = world->wall_ms ? world->wall_ms : clock_wall_ms,
    };
    struct buf why;

    storage_world_start(&world->base);
    if (!world->has_s3rver)
        s3_fixture_start(&world->server);
    else if (!s3_fixture_start_s3rver(&world->server, world->base.path))
        return false;
    web.loop = world->base.loop;
    world->web = web_create(&web);
    assert_non_null(world->web);
    buf_init(&why, 1000);
    (void)snprintf(url, sizeof(url), "s3://%s%s", bucket, prefix);
    (void)snprintf(endpoint, sizeof(endpoint), "http://localhost:%d", world->server.port);
    (void)snprintf(spool, sizeof(spool), "%s/spool", world->base.path);
    assert_int_equal(s3_bucket_read(&parsed, url, endpoint, S3_TEST_REGION, world->style, &why), 0);
    setup.disk = world->base.disk;
    setup.web = world->web;
    assert_int_equal(s3_open(&setup, &world->base.storage, &why), 0);
    assert_string_equal(buf_text(&why), "");
    buf_deinit(&why);
    return true;
}

static void start_world(struct world *world)
{
    assert_true(try_start(world));
}

static int count_spooled(const struct world *world)
{
    char path[128];
    struct dirent *entry;
    int count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/spool", world->base.path);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static void drain(struct world *world)
{
    while (disk_in_flight(world->base.disk) || web_in_flight(world->web))
        loop_turn(world->base.loop, true);
}

static void end_world(struct world *world)
{
    drain(world);
    assert_int_equal(count_spooled(world), 0);
    assert_null(web_destroy(world->web));
    s3_fixture_stop(&world->server);
    storage_world_end(&world->base);
}

/* -- writing and reading */

static const struct {
    const char *name, *prefix;
    enum s3_style style;
} places[] = {
    {"path style",                 "",                S3_STYLE_PATH   },
    {"path style with a prefix",   "/arkrelay/a.b~c", S3_STYLE_PATH   },
    {"virtual host",               "",                S3_STYLE_VIRTUAL},
    {"virtual host with a prefix", "/arkrelay/",      S3_STYLE_VIRTUAL},
};

static void test_a_picture_is_read_as_it_was_written(void **state)
{
    static const size_t sizes[] = {24, SMALL, 64 << 10, (64 << 10) + 1, LARGE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        struct world world = {.prefix = places[i].prefix, .style = places[i].style};
        struct storage_world *base = &world.base;

        print_message("  %s\n", places[i].name);
        start_world(&world);
        for (size_t k = 0; k < ARRAY_LENGTH(sizes); k++) {
            unsigned char *bytes = world_picture(sizes[k], (unsigned)k);

            assert_int_equal(world_store(base, bytes, sizes[k], NAME), STORAGE_DONE);
            assert_int_equal(world_get(base, NAME, 0, -1), STORAGE_DONE);
            assert_int_equal(base->bytes.len, sizes[k]);
            assert_memory_equal(base->bytes.data, bytes, sizes[k]);
            assert_int_equal(base->about.size, sizes[k]);
            assert_int_equal(base->about.image.type, IMAGE_PNG);
            assert_int_equal(base->about.image.width, 5);
            assert_int_equal(base->about.image.height, 7);
            assert_string_equal(base->about.owner, "shop");
            assert_int_equal(strlen(base->about.sha256), 64);
            free(bytes);
        }
        end_world(&world);
    }
}

static void test_ranges(void **state)
{
    static const struct storage_range ranges[] = {
        {0,         1         },
        {SMALL - 1, 1         },
        {SMALL,     0         },
        {0,         0         },
        {10,        SMALL - 10},
        {500,       17        }
    };
    unsigned char *bytes = world_picture(SMALL, 1);
    struct world world = {0};

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world.base, bytes, SMALL, NAME), STORAGE_DONE);
    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
        assert_int_equal(world_get(&world.base, NAME, ranges[i].at, ranges[i].len), STORAGE_DONE);
        assert_int_equal(world.base.bytes.len, ranges[i].len);
        assert_memory_equal(buf_text(&world.base.bytes), bytes + ranges[i].at, (size_t)ranges[i].len);
    }
    free(bytes);
    end_world(&world);
}

static void test_absent_and_foreign_objects_are_not_read(void **state)
{
    struct world world = {0};

    (void)state;
    start_world(&world);
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_MISSING);
    assert_string_equal(world.base.outcome.words, "GET: status 404 NoSuchKey");
    assert_int_equal(world.base.opens, 0);
    assert_string_equal(s3_fixture_tell(&world.server, "seed " NAME), "ok");
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_FAILED); /* not one of ours */
    assert_string_equal(world.base.outcome.words, "GET: the object has no record");
    end_world(&world);
}

/* -- errors */

/* clang-format off */
static const struct {
    const char *command; /* to the server, for the next request */
    enum storage_end put, get, removal;
} faults[] = {
    { "fail 403 AccessDenied",              STORAGE_DENIED, STORAGE_DENIED,  STORAGE_DENIED },
    { "fail 400 ExpiredToken",              STORAGE_DENIED, STORAGE_DENIED,  STORAGE_DENIED },
    { "fail 301 PermanentRedirect",         STORAGE_DENIED, STORAGE_DENIED,  STORAGE_DENIED },
    { "fail 404 NoSuchBucket",              STORAGE_DENIED, STORAGE_DENIED,  STORAGE_DENIED },
    { "fail 404 -",                         STORAGE_DENIED, STORAGE_MISSING, STORAGE_MISSING },
    { "fail 503 SlowDown",                  STORAGE_BUSY,   STORAGE_BUSY,    STORAGE_BUSY },
    { "fail 503 -",                         STORAGE_BUSY,   STORAGE_BUSY,    STORAGE_BUSY },
    { "fail 429 -",                         STORAGE_BUSY,   STORAGE_BUSY,    STORAGE_BUSY },
    { "fail 500 InternalError",             STORAGE_FAILED, STORAGE_FAILED,  STORAGE_FAILED },
    { "fail 400 RequestTimeout",            STORAGE_FAILED, STORAGE_FAILED,  STORAGE_FAILED },
    { "fail 400 XMinioAdminBucketQuotaExceeded", STORAGE_FULL, STORAGE_FULL, STORAGE_FULL },
    { "fail 507 -",                         STORAGE_FULL,   STORAGE_FULL,    STORAGE_FULL },
    { "fail 200 InternalError",             STORAGE_FAILED, STORAGE_FAILED,  STORAGE_FAILED },
    { "fail 200 SlowDown",                  STORAGE_BUSY,   STORAGE_FAILED,  STORAGE_BUSY },
    { "page 200",                           STORAGE_FAILED, STORAGE_FAILED,  STORAGE_FAILED },
    { "page 202",                           STORAGE_FAILED, STORAGE_FAILED,  STORAGE_FAILED },
    { "reset",                              STORAGE_FAILED, STORAGE_FAILED,  STORAGE_FAILED },
};
/* clang-format on */

static void test_server_errors_are_mapped(void **state)
{
    unsigned char *bytes = world_picture(LARGE, 1);
    struct world world = {0};
    struct spool *spool;

    (void)state;
    start_world(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        print_message("  %s\n", faults[i].command);
        assert_int_equal(world_spool(&world.base, bytes, LARGE, LARGE, LARGE, &spool), STORAGE_DONE);
        assert_string_equal(s3_fixture_tell(&world.server, faults[i].command), "ok");
        assert_int_equal(world_put(&world.base, spool, NAME, "shop"), faults[i].put);
        assert_string_equal(s3_fixture_tell(&world.server, "keys"), "");
        assert_int_equal(world_put(&world.base, spool, NAME, "shop"), STORAGE_DONE); /* the same spool, again */
        assert_null(spool_destroy(spool));
        assert_string_equal(s3_fixture_tell(&world.server, faults[i].command), "ok");
        assert_int_equal(world_get(&world.base, NAME, 0, -1), faults[i].get);
        assert_string_equal(s3_fixture_tell(&world.server, faults[i].command), "ok");
        assert_int_equal(world_delete(&world.base, NAME), faults[i].removal);
        assert_string_equal(s3_fixture_tell(&world.server, "keys"), NAME);
        assert_int_equal(world_delete(&world.base, NAME), STORAGE_DONE);
    }
    free(bytes);
    end_world(&world);
}

static void test_a_truncated_answer_is_an_error(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct world world = {0};

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world.base, bytes, SMALL, NAME), STORAGE_DONE);
    assert_string_equal(s3_fixture_tell(&world.server, "cut 100"), "ok");
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_FAILED);
    assert_int_equal(world.base.bytes.len, 100);
    free(bytes);
    end_world(&world);
}

static void test_an_unreachable_server_is_an_error(void **state)
{
    struct world world = {0};

    (void)state;
    start_world(&world);
    s3_fixture_stop(&world.server);
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_FAILED);
    assert_int_equal(world_delete(&world.base, NAME), STORAGE_FAILED);
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_FAILED);
    s3_fixture_start(&world.server);
    end_world(&world);
}

static void test_wrong_settings_are_reported_as_denied(void **state)
{
    struct world worlds[] = {{.secret = "other"}, {.wall_ms = an_hour_ago}, {.bucket = "others"}};
    static const char *const codes[] = {"SignatureDoesNotMatch", "RequestTimeTooSkewed", "NoSuchBucket"};
    unsigned char *bytes = world_picture(SMALL, 1);

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(worlds); i++) {
        start_world(&worlds[i]);
        assert_int_equal(world_store(&worlds[i].base, bytes, SMALL, NAME), STORAGE_DENIED);
        assert_non_null(strstr(worlds[i].base.outcome.words, codes[i]));
        assert_int_equal(world_get(&worlds[i].base, NAME, 0, -1), STORAGE_DENIED);
        end_world(&worlds[i]);
    }
    free(bytes);
}

/* -- links */

struct fetch {
    struct world *world;
    int ends;
    enum download_end end;
    struct buf data;
};

static void on_size(int64_t size, void *arg)
{
    (void)size;
    (void)arg;
}

static void on_bytes(const char *bytes, size_t len, void *arg)
{
    struct fetch *fetch = arg;

    buf_add(&fetch->data, bytes, len);
}

static void on_done(const struct download_outcome *outcome, void *arg)
{
    struct fetch *fetch = arg;

    fetch->end = outcome->end;
    fetch->ends++;
}

static enum download_end fetch_link(struct world *world, const char *link, struct fetch *fetch)
{
    struct download *download;

    *fetch = (struct fetch){.world = world};
    buf_init(&fetch->data, LARGE);
    assert_int_equal(download_start(world->web,
                                    &(struct download_setup){
                                        .url = link,
                                        .may_be_private = true,
                                        .size_max = LARGE,
                                        .first_byte_ms = 5000,
                                        .total_ms = 5000,
                                        .events = {on_size, on_bytes, on_done, fetch}
    },
                                    &download),
                     0);
    storage_world_wait(&world->base, &fetch->ends);
    return fetch->end;
}

static void test_a_link_works_without_a_key(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        struct world world = {.prefix = places[i].prefix, .style = places[i].style};
        static const char *const file_names[] = {NULL, "picture-1.png"};
        struct fetch fetch;
        struct buf link;

        start_world(&world);
        buf_init(&link, 4096);
        assert_int_equal(world_store(&world.base, bytes, SMALL, NAME), STORAGE_DONE);
        for (size_t k = 0; k < ARRAY_LENGTH(file_names); k++) {
            buf_clear(&link);
            assert_int_equal(storage_link(world.base.storage, NAME, file_names[k], clock_wall_ms(), 300, &link), 0);
            assert_int_equal(fetch_link(&world, buf_text(&link), &fetch), DOWNLOAD_DONE);
            assert_memory_equal(fetch.data.data, bytes, SMALL);
            buf_deinit(&fetch.data);
            link.data[link.len - 1] = (char)(link.data[link.len - 1] == '0' ? '1' : '0');
            assert_int_equal(fetch_link(&world, buf_text(&link), &fetch), DOWNLOAD_GONE);
            buf_deinit(&fetch.data);
        }
        buf_clear(&link);
        assert_int_equal(storage_link(world.base.storage, NAME, NULL, an_hour_ago(), 300, &link), 0);
        assert_int_equal(fetch_link(&world, buf_text(&link), &fetch), DOWNLOAD_GONE); /* expired */
        buf_deinit(&fetch.data);
        assert_int_equal(storage_link(world.base.storage, NAME, "a\"b", clock_wall_ms(), 300, &link), ERR_SYNTAX);
        buf_deinit(&link);
        end_world(&world);
    }
    free(bytes);
}

/* -- another server */

static void test_s3rver(void **state)
{
    struct world world = {.access = "S3RVER", .secret = "S3RVER", .prefix = "/pre", .has_s3rver = true};
    unsigned char *bytes = world_picture(LARGE, 1);
    struct fetch fetch;
    struct buf link;

    (void)state;
    if (!try_start(&world)) {
        storage_world_end(&world.base);
        free(bytes);
        skip();
    }
    buf_init(&link, 4096);
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(world_store(&world.base, bytes, LARGE, NAME), STORAGE_DONE);
    assert_int_equal(world_store(&world.base, bytes, SMALL, OTHER), STORAGE_DONE);
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_DONE);
    assert_int_equal(world.base.bytes.len, LARGE);
    assert_memory_equal(world.base.bytes.data, bytes, LARGE);
    assert_string_equal(world.base.about.owner, "shop");
    assert_int_equal(world_get(&world.base, NAME, 500, 17), STORAGE_DONE);
    assert_memory_equal(world.base.bytes.data, bytes + 500, 17);
    assert_int_equal(storage_link(world.base.storage, OTHER, "a.png", clock_wall_ms(), 300, &link), 0);
    assert_int_equal(fetch_link(&world, buf_text(&link), &fetch), DOWNLOAD_DONE);
    assert_memory_equal(fetch.data.data, bytes, SMALL);
    assert_int_equal(world_delete(&world.base, NAME), STORAGE_DONE);
    assert_int_equal(world_get(&world.base, NAME, 0, -1), STORAGE_MISSING);
    assert_int_equal(world_sweep(&world.base, TODAY + 1, 10), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 0);
    assert_int_equal(world_sweep(&world.base, TODAY + 2, 10), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 1);
    assert_int_equal(world_get(&world.base, OTHER, 0, -1), STORAGE_MISSING);
    buf_deinit(&fetch.data);
    buf_deinit(&link);
    free(bytes);
    end_world(&world);
}

/* -- deleting */

static void test_a_deleted_picture_is_missing(void **state)
{
    unsigned char *bytes = world_picture(SMALL, 1);
    struct world world = {0};

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world.base, bytes, SMALL, NAME), STORAGE_DONE);
    assert_int_equal(world_store(&world.base, bytes, SMALL, OTHER), STORAGE_DONE);
    assert_int_equal(world_delete(&world.base, NAME), STORAGE_DONE);
    assert_string_equal(s3_fixture_tell(&world.server, "keys"), OTHER);
    assert_int_equal(world_delete(&world.base, NAME), STORAGE_DONE); /* S3 does not report a missing key */
    free(bytes);
    end_world(&world);
}

static void test_a_sweep_deletes_old_days_step_by_step(void **state)
{
    static const char *const keys[] = {"pre/20261128/a", "pre/20261128/b",    "pre/20261205/c", "pre/20261206/d",
                                       "pre/20261207/e", "pre/20200230/f",    "pre/20261128",   "pre/20261128/a.b",
                                       "20261128/g",     "prefix/20261128/h", "pre/uploads/i",  "pre/20261128/a/b"};
    struct world world = {.prefix = "/pre"};
    char command[64];

    (void)state;
    start_world(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        (void)snprintf(command, sizeof(command), "seed %s", keys[i]);
        assert_string_equal(s3_fixture_tell(&world.server, command), "ok");
    }
    assert_int_equal(world_sweep(&world.base, TODAY, 2), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 2);
    assert_true(world.base.has_more);
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 1);
    assert_false(world.base.has_more);
    assert_string_equal(s3_fixture_tell(&world.server, "keys"),
                        "20261128/g pre/20200230/f pre/20261128 pre/20261128/a.b pre/20261128/a/b pre/20261206/d "
                        "pre/20261207/e pre/uploads/i prefix/20261128/h");
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 0);
    assert_string_equal(s3_fixture_tell(&world.server, "fail 503 SlowDown"), "ok");
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_BUSY);
    assert_string_equal(s3_fixture_tell(&world.server, "page 200"), "ok"); /* not a list without keys */
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_FAILED);
    end_world(&world);
}

static void test_a_sweep_continues_after_a_full_list(void **state)
{
    struct world world = {0};
    char command[64];

    (void)state;
    start_world(&world);
    for (int i = 0; i < 250; i++) { /* a list has 200 keys */
        (void)snprintf(command, sizeof(command), "seed 20261128/%d", i);
        assert_string_equal(s3_fixture_tell(&world.server, command), "ok");
    }
    assert_int_equal(world_sweep(&world.base, TODAY, 1000), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 200);
    assert_true(world.base.has_more);
    assert_int_equal(world_sweep(&world.base, TODAY, 1000), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 50);
    assert_false(world.base.has_more);
    end_world(&world);
}

static void seed(struct world *world, const char *begin, int count)
{
    char command[128];

    for (int i = 0; i < count; i++) {
        (void)snprintf(command, sizeof(command), "seed %s%d", begin, i);
        assert_string_equal(s3_fixture_tell(&world->server, command), "ok");
    }
}

/* A list has 200 keys. Those of others sort before, between and after the days. */
static void test_a_sweep_passes_the_keys_of_others(void **state)
{
    static const char *const others[] = {"pre/0/",        "pre/2020-a/&amp;", "pre/20201340/", "pre/20201231-",
                                         "pre/20210101.", "pre/2021x",        "pre/z/"};
    static const char *const ours[] = {"pre/20201231/a", "pre/20210101/b", "pre/20261128/c"};
    struct world world = {.prefix = "/pre"};
    int deleted = 0;

    (void)state;
    start_world(&world);
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        seed(&world, others[i], 201);
    for (size_t i = 0; i < ARRAY_LENGTH(ours); i++)
        seed(&world, ours[i], 1);
    do {
        assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_DONE);
        deleted += world.base.deleted;
    } while (world.base.has_more);
    assert_int_equal(deleted, ARRAY_LENGTH(ours));
    end_world(&world);
}

/* An object lock, or the permissions of one key. */
static void test_a_sweep_passes_what_it_may_not_delete(void **state)
{
    struct world world = {0};

    (void)state;
    start_world(&world);
    seed(&world, "20261128/a", 3);
    assert_string_equal(s3_fixture_tell(&world.server, "fail 403 AccessDenied DELETE"), "ok");
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_DENIED);
    assert_int_equal(world.base.deleted, 2);
    assert_false(world.base.has_more);
    assert_string_equal(s3_fixture_tell(&world.server, "keys"), "20261128/a0");
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_DONE);
    assert_int_equal(world.base.deleted, 1);
    end_world(&world);
}

static void test_a_sweep_removes_files_of_killed_processes(void **state)
{
    struct world world = {0};
    char path[128];
    int fd;

    (void)state;
    start_world(&world);
    (void)snprintf(path, sizeof(path), "%s/spool/arkrelay-0123456789abcdef0123456789abcdef.tmp", world.base.path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(count_spooled(&world), 1);
    assert_int_equal(world_sweep(&world.base, TODAY, 10), STORAGE_DONE);
    assert_int_equal(count_spooled(&world), 0);
    end_world(&world);
}

/* -- cancellation */

static void fail_on_swept(const struct storage_outcome *outcome, int deleted, bool has_more, void *arg)
{
    (void)deleted;
    (void)has_more;
    world_fail_on_end(outcome, arg);
}

static void test_nothing_is_called_after_a_cancellation(void **state)
{
    unsigned char *bytes = world_picture(LARGE, 1);
    struct storage_call *call;
    struct world world = {0};
    struct spool *spool;

    (void)state;
    start_world(&world);
    assert_int_equal(world_store(&world.base, bytes, LARGE, NAME), STORAGE_DONE);
    for (int i = 0; i < 4; i++) {
        struct world_cancelled_get get = {.in_open = i & 1, .after_next = i & 2};

        world_get_cancelled(&world.base, NAME, &get);
        drain(&world);
        assert_int_equal(get.opens, 1);
        assert_int_equal(get.bytes, !get.in_open);
    }
    assert_int_equal(world_spool(&world.base, bytes, LARGE, LARGE, LARGE, &spool), STORAGE_DONE);
    for (int turns = 0; turns < 12; turns++) {
        assert_int_equal(storage_put(world.base.storage, spool, OTHER, "shop", world_fail_on_end, NULL, &call), 0);
        for (int i = 0; i < turns / 2; i++)
            loop_turn(world.base.loop, true);
        storage_cancel(call);
    }
    assert_null(spool_destroy(spool));
    assert_int_equal(storage_delete(world.base.storage, NAME, world_fail_on_end, NULL, &call), 0);
    storage_cancel(call);
    assert_int_equal(storage_sweep(world.base.storage, TODAY, 10, fail_on_swept, NULL, &call), 0);
    storage_cancel(call);
    free(bytes);
    end_world(&world);
}

static void test_gets_have_a_maximum(void **state)
{
    enum { MOST = 64 };
    const struct storage_get_events events = {.on_end = world_fail_on_end};
    struct storage_call *calls[MOST], *more;
    struct world world = {0};

    (void)state;
    start_world(&world);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MOST; i++)
            assert_int_equal(storage_get(world.base.storage, NAME, &events, &calls[i]), 0);
        assert_int_equal(storage_get(world.base.storage, NAME, &events, &more), ERR_TOO_LONG);
        for (int i = 0; i < MOST; i++)
            storage_cancel(calls[i]);
    }
    end_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_picture_is_read_as_it_was_written),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_absent_and_foreign_objects_are_not_read),
        cmocka_unit_test(test_server_errors_are_mapped),
        cmocka_unit_test(test_a_truncated_answer_is_an_error),
        cmocka_unit_test(test_an_unreachable_server_is_an_error),
        cmocka_unit_test(test_wrong_settings_are_reported_as_denied),
        cmocka_unit_test(test_a_link_works_without_a_key),
        cmocka_unit_test(test_s3rver),
        cmocka_unit_test(test_a_deleted_picture_is_missing),
        cmocka_unit_test(test_a_sweep_deletes_old_days_step_by_step),
        cmocka_unit_test(test_a_sweep_continues_after_a_full_list),
        cmocka_unit_test(test_a_sweep_passes_the_keys_of_others),
        cmocka_unit_test(test_a_sweep_passes_what_it_may_not_delete),
        cmocka_unit_test(test_a_sweep_removes_files_of_killed_processes),
        cmocka_unit_test(test_nothing_is_called_after_a_cancellation),
        cmocka_unit_test(test_gets_have_a_maximum),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
