/* rediss:// on a real Redis: trusted servers are used, all others refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/macros.h"
#include "tests/support/certificates.h"
#include "tests/support/redis_fixture.h"
#include "tests/support/redis_server.h"

enum { DAY_S = 24 * 60 * 60 };

struct world {
    char directory[64];
    char ca[96], other_ca[96], good[96], named[96], wrong[96], expired[96], unknown[96];
    struct redis_server *server;
    int tls_port;
    struct fixture admin; /* through the socket path */
};

static void name_file(struct world *world, char out[96], const char *name)
{
    snprintf(out, 96, "%s/%s.pem", world->directory, name);
}

static void make_certificates(struct world *world)
{
    struct authority *ours, *other;

    snprintf(world->directory, sizeof(world->directory), "/tmp/test_redis_tls.XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    name_file(world, world->ca, "ca");
    name_file(world, world->other_ca, "other_ca");
    name_file(world, world->good, "good");
    name_file(world, world->named, "named");
    name_file(world, world->wrong, "wrong");
    name_file(world, world->expired, "expired");
    name_file(world, world->unknown, "unknown");
    ours = authority_create("our authority", world->ca);
    other = authority_create("another authority", world->other_ca);
    authority_sign(ours, "DNS:localhost,IP:127.0.0.1", DAY_S, world->good);
    authority_sign(ours, "DNS:localhost", DAY_S, world->named);
    authority_sign(ours, "DNS:elsewhere.example,DNS:*.localhost", DAY_S, world->wrong);
    authority_sign(ours, "DNS:localhost,IP:127.0.0.1", -60, world->expired);
    authority_sign(other, "DNS:localhost,IP:127.0.0.1", DAY_S, world->unknown);
    authority_destroy(ours);
    authority_destroy(other);
}

static int start_server(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char port[8];

    if (!world)
        return -1;
    make_certificates(world);
    world->tls_port = free_port();
    snprintf(port, sizeof(port), "%d", world->tls_port);
    world->server = redis_server_create((const char *[]){"--tls-port", port, "--tls-cert-file", world->good,
                                                         "--tls-key-file", world->good, "--tls-ca-cert-file", world->ca,
                                                         "--tls-auth-clients", "no", NULL});
    *state = world;
    return 0;
}

static int stop_server(void **state)
{
    struct world *world = *state;
    const char *files[] = {world->ca,    world->other_ca, world->good,   world->named,
                           world->wrong, world->expired,  world->unknown};

    redis_server_destroy(world->server);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        remove(files[i]);
    remove(world->directory);
    free(world);
    return 0;
}

static void begin(struct fixture *fixture, const char *scheme, const char *host, int port, const char *ca)
{
    char url[128];

    snprintf(url, sizeof(url), "%s://%s:%d", scheme, host, port);
    fixture_init(fixture, url);
    fixture->address.ca_file = ca;
    fixture_connect(fixture);
}

static void present(struct world *world, const char *certificate)
{
    struct fixture admin;

    begin(&admin, "redis", "127.0.0.1", redis_server_port(world->server), NULL);
    WAIT_UNTIL(&admin, admin.ready);
    assert_string_equal(
        fixture_ask(&admin, REDIS_WORDS("CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", certificate))
            .text,
        "OK");
    fixture_deinit(&admin);
}

static void a_trusted_server_is_used(void **state)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    struct world *world = *state;
    struct fixture f;

    present(world, world->good);
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        begin(&f, "rediss", hosts[i], world->tls_port, world->ca);
        WAIT_UNTIL(&f, f.ready);
        assert_string_equal(fixture_ask(&f, REDIS_WORDS("PING")).text, "PONG");
        fixture_deinit(&f);
    }
}

static void an_untrusted_server_is_refused_with_the_reason(void **state)
{
    struct world *world = *state;
    const struct {
        const char *name, *certificate, *host, *ca, *said;
    } cases[] = {
        {"a certificate for another name",            world->wrong,   "localhost", world->ca,          "hostname mismatch"                 },
        {"a certificate for a name, asked by number", world->named,   "127.0.0.1", world->ca,          "IP address mismatch"               },
        {"an unknown authority",                      world->unknown, "localhost", world->ca,          "certificate refused: unable to get"},
        {"our authority is not the one in the file",  world->good,    "localhost", world->other_ca,
         "certificate refused: self-signed"                                                                                                },
        {"an authority unknown to the system",        world->good,    "localhost", NULL,               "certificate refused: "             },
        {"an expired certificate",                    world->expired, "localhost", world->ca,          "certificate has expired"           },
        {"a missing file of authorities",             world->good,    "localhost", "/nonexistent.pem",
         "authorities file cannot be read"                                                                                                 },
        {"a file without authorities",                world->good,    "localhost", "/dev/null",        "authorities file cannot be read"   },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct fixture f;

        print_message("  %s\n", cases[i].name);
        present(world, cases[i].certificate);
        begin(&f, "rediss", cases[i].host, world->tls_port, cases[i].ca);
        WAIT_UNTIL(&f, strstr(fixture_log(&f), cases[i].said));
        for (int turn = 0; turn < 40; turn++)
            fixture_turn(&f);
        assert_int_equal(f.ready, 0);
        assert_int_equal(fixture_log_count(&f, "error redis"), 1);
        fixture_deinit(&f);
    }
}

static void a_plain_server_is_refused(void **state)
{
    struct world *world = *state;
    struct fixture f;

    begin(&f, "rediss", "localhost", redis_server_port(world->server), world->ca);
    redis_destroy(f.redis);
    f.config.connect_timeout_ms = 100; /* the server waits for the rest of what it parses as a command */
    fixture_connect(&f);
    WAIT_UNTIL(&f, strstr(fixture_log(&f), "cannot connect"));
    assert_int_equal(f.ready, 0);
    fixture_deinit(&f);
}

static void a_plain_client_of_a_tls_server_does_not_connect(void **state)
{
    struct world *world = *state;
    struct fixture f;

    begin(&f, "redis", "localhost", world->tls_port, NULL);
    WAIT_UNTIL(&f, strstr(fixture_log(&f), "cannot connect"));
    assert_int_equal(f.ready, 0);
    fixture_deinit(&f);
}

static void large_data_arrives_in_order(void **state)
{
    struct world *world = *state;
    struct answer last, large;
    struct fixture f;

    present(world, world->good);
    begin(&f, "rediss", "localhost", world->tls_port, world->ca);
    WAIT_UNTIL(&f, f.ready);
    last = large = (struct answer){.fixture = &f};
    assert_int_equal(
        redis_send_words(f.redis, REDIS_WORDS("SETRANGE", "large", "5000000", "x"), on_answer, &large, NULL), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(redis_send_words(f.redis, REDIS_WORDS("INCR", "count"), on_answer, &last, NULL), 0);
    assert_int_equal(redis_send_words(f.redis, REDIS_WORDS("GET", "large"), on_answer, &large, NULL), 0);
    WAIT_UNTIL(&f, large.times == 2);
    assert_int_equal(large.type, REDIS_REPLY_STRING);
    assert_int_equal(last.times, 1000);
    assert_int_equal(last.integer, 1000);
    fixture_deinit(&f);
}

static int64_t cpu_us(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* The CPU time to send `len` bytes `times` times. */
static int64_t cost_us(struct fixture *fixture, const char *bytes, size_t len, int times)
{
    const char *argv[] = {"SET", "k", bytes};
    const size_t lengths[] = {3, 1, len};
    int64_t begun_us = cpu_us();

    for (int i = 0; i < times; i++) {
        struct answer answer = {.fixture = fixture};

        assert_int_equal(redis_send(fixture->redis,
                                    &(struct redis_command){.argc = 3, .argv = argv, .lengths = lengths}, on_answer,
                                    &answer, NULL),
                         0);
        WAIT_UNTIL(fixture, answer.times);
        assert_string_equal(answer.text, "OK");
    }
    return cpu_us() - begun_us;
}

/* TLS takes a large command in thousands of pieces. Moving the rest after each piece would cost a hundred times as much. */
static void a_large_command_is_not_moved_after_each_piece(void **state)
{
    enum { LARGE = 64 << 20, SMALL = 1 << 20, FAR_MORE = 20 };
    struct world *world = *state;
    char *bytes = calloc(1, LARGE);
    int64_t small_us, large_us;
    struct fixture f;

    assert_non_null(bytes);
    present(world, world->good);
    begin(&f, "rediss", "localhost", world->tls_port, world->ca);
    redis_destroy(f.redis);
    f.config.output_max = 2 * (size_t)LARGE;
    f.config.command_timeout_ms = 20 * 1000;
    fixture_connect(&f);
    WAIT_UNTIL(&f, f.ready);
    small_us = cost_us(&f, bytes, SMALL, LARGE / SMALL);
    large_us = cost_us(&f, bytes, LARGE, 1);
    print_message("  %lld us and %lld us\n", (long long)small_us, (long long)large_us);
    assert_true(large_us < FAR_MORE * small_us);
    fixture_deinit(&f);
    free(bytes);
}

/* Each reply arrives in its own TLS record. */
static void unread_replies_do_not_time_out(void **state)
{
    enum { COUNT = 4, TIMEOUT_MS = 300 };
    static const char *const lists[COUNT] = {"a", "b", "c", "d"};
    struct answer answers[COUNT];
    struct world *world = *state;
    struct fixture f, admin;
    int64_t sent_ms;

    present(world, world->good);
    begin(&admin, "redis", "127.0.0.1", redis_server_port(world->server), NULL);
    WAIT_UNTIL(&admin, admin.ready);
    begin(&f, "rediss", "localhost", world->tls_port, world->ca);
    redis_destroy(f.redis);
    f.config.command_timeout_ms = TIMEOUT_MS;
    fixture_connect(&f);
    WAIT_UNTIL(&f, f.ready);

    sent_ms = clock_monotonic_ms();
    for (size_t i = 0; i < COUNT; i++) {
        answers[i] = (struct answer){.fixture = &f};
        assert_int_equal(redis_send_words(f.redis, REDIS_WORDS("BLPOP", lists[i], "0"), on_answer, &answers[i], NULL),
                         0);
    }
    fixture_turn(&f); /* sends them */
    for (size_t i = 0; i < COUNT; i++)
        (void)fixture_ask(&admin, REDIS_WORDS("RPUSH", lists[i], "x"));
    while (clock_monotonic_ms() <= sent_ms + TIMEOUT_MS) /* this process stalls */
        usleep(1000);
    WAIT_UNTIL(&f, answers[COUNT - 1].times);
    assert_int_equal(answers[COUNT - 1].err, 0);
    assert_int_equal(f.lost, 0);
    fixture_deinit(&admin);
    fixture_deinit(&f);
}

static void a_lost_connection_is_restored_with_tls(void **state)
{
    struct world *world = *state;
    struct fixture f;

    present(world, world->good);
    begin(&f, "rediss", "localhost", world->tls_port, world->ca);
    WAIT_UNTIL(&f, f.ready);
    redis_server_stop(world->server);
    WAIT_UNTIL(&f, f.lost);
    redis_server_start(world->server);
    WAIT_UNTIL(&f, f.ready == 2);
    assert_string_equal(fixture_ask(&f, REDIS_WORDS("PING")).text, "PONG");
    fixture_deinit(&f);
}

/* Sessions are not resumed: each connection is verified against the current file. */
static void each_connection_reads_the_authorities_again(void **state)
{
    struct world *world = *state;
    char link[96];
    struct fixture f;

    name_file(world, link, "link");
    assert_int_equal(symlink(world->ca, link), 0);
    present(world, world->good);
    begin(&f, "rediss", "localhost", world->tls_port, link);
    WAIT_UNTIL(&f, f.ready);
    assert_int_equal(remove(link), 0);
    assert_int_equal(symlink(world->other_ca, link), 0);
    redis_server_stop(world->server);
    WAIT_UNTIL(&f, f.lost);
    redis_server_start(world->server);
    WAIT_UNTIL(&f, strstr(fixture_log(&f), "certificate refused: "));
    assert_int_equal(f.ready, 1);
    fixture_deinit(&f);
    assert_int_equal(remove(link), 0);
}

static void a_client_may_be_destroyed_during_the_handshake(void **state)
{
    struct world *world = *state;

    for (int turns = 0; turns < 12; turns++) {
        struct fixture f;

        begin(&f, "rediss", "localhost", world->tls_port, world->ca);
        for (int i = 0; i < turns && !f.ready; i++)
            fixture_turn(&f);
        fixture_deinit(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_trusted_server_is_used),
        FIXTURE_TEST(an_untrusted_server_is_refused_with_the_reason),
        FIXTURE_TEST(a_plain_server_is_refused),
        FIXTURE_TEST(a_plain_client_of_a_tls_server_does_not_connect),
        FIXTURE_TEST(large_data_arrives_in_order),
        FIXTURE_TEST(a_large_command_is_not_moved_after_each_piece),
        FIXTURE_TEST(unread_replies_do_not_time_out),
        FIXTURE_TEST(a_lost_connection_is_restored_with_tls),
        FIXTURE_TEST(each_connection_reads_the_authorities_again),
        FIXTURE_TEST(a_client_may_be_destroyed_during_the_handshake),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
