/* Connections: how long they may take, how many there may be, where the server listens for them, and how one asks whether it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http/address_limit.h"
#include "common/http/healthcheck.h"
#include "common/loop.h"
#include "tests/support/http_fixture.h"

/* -- deadlines of what comes in */

static void test_deadlines(void **state)
{
    static const struct {
        const char *name, *sent, *status; /* NULL: closed without a word */
    } cases[] = {
        {"nothing at all", "",                                                          NULL                 },
        {"half a head",    "GET / HT",                                                  "408 Request Timeout"},
        {"an empty line",  "\r\n",                                                      "408 Request Timeout"},
        {"half a body",    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", "408 Request Timeout"},
        {"no chunk",       POST_CHUNKED("/"),                                           "408 Request Timeout"},
        {"half a chunk",   POST_CHUNKED("/") "4\r\nab",                                 "408 Request Timeout"},
        {"no last chunk",  POST_CHUNKED("/") "2\r\nab\r\n",                             "408 Request Timeout"},
        {"half a trailer", POST_CHUNKED("/") "0\r\nA: b\r\n",                           "408 Request Timeout"},
    };
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.head_timeout_ms = fixture.config.body_timeout_ms = 50;
    http_fixture_start(&fixture);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_peer peer;

        http_peer_dial(&fixture, &peer);
        http_peer_send(&peer, cases[i].sent);
        if (cases[i].status) {
            http_peer_expect_status(&peer, cases[i].status);
            http_peer_expect(&peer, "Connection: close\r\n");
            http_peer_expect(&peer, "}");
        }
        http_peer_expect_end(&peer);
        http_peer_close(&peer);
    }
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

static void test_single_bytes_do_not_prolong_a_deadline(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.head_timeout_ms = 100;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, "GET / HTTP/1.1\r\nA: ");
    for (int i = 0; i < 5000 && http_peer_has_nothing(&peer); i++)
        http_peer_send(&peer, "x");
    http_peer_expect_status(&peer, "408 Request Timeout");
    http_fixture_finish(&fixture, &peer);
}

static void test_single_chunks_do_not_prolong_a_deadline(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.body_timeout_ms = 100;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, POST_CHUNKED("/"));
    for (int i = 0; i < 5000 && http_peer_has_nothing(&peer); i++)
        http_peer_send(&peer, "1\r\nx\r\n");
    http_peer_expect_status(&peer, "408 Request Timeout");
    http_fixture_finish(&fixture, &peer);
}

/* It is no request that stops halfway: the connection is idle, and ends as such. */
static void test_an_empty_line_after_an_answer_leaves_the_connection_idle(void **state)
{
    static const struct {
        const char *together, *later;
    } cases[] = {
        {GET("/") "\r\n", ""    },
        {GET("/"),        "\r\n"},
    };
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.head_timeout_ms = 20;
    fixture.config.idle_timeout_ms = 100;
    http_fixture_start(&fixture);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_peer peer;

        http_peer_dial(&fixture, &peer);
        http_peer_send(&peer, cases[i].together);
        http_peer_expect_body(&peer, "hello");
        http_peer_send(&peer, cases[i].later);
        http_peer_expect_end(&peer);
        http_peer_close(&peer);
    }
    http_fixture_end(&fixture);
}

/* -- after the last answer */

static const char refused[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";

static void test_a_client_that_never_stops_sending_is_cut(void **state)
{
    static char junk[64 * 1024];
    struct http_fixture fixture;
    struct http_peer peer;
    int64_t began_ms;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.linger_timeout_ms = 500;
    fixture.config.linger_max_ms = 1000;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, refused);
    http_peer_expect_status(&peer, "413 Content Too Large");
    began_ms = clock_monotonic_ms();
    while (http_server_connections(fixture.server) && clock_monotonic_ms() - began_ms < 5000)
        http_peer_send_bytes(&peer, junk, sizeof(junk));
    assert_int_equal(http_server_connections(fixture.server), 0);
    assert_true(clock_monotonic_ms() - began_ms >= 500); /* not after its silence: it was never silent */
    http_fixture_finish(&fixture, &peer);
}

static void test_a_client_that_says_nothing_after_the_last_answer_is_cut_sooner(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;
    int64_t began_ms = clock_monotonic_ms();

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.linger_timeout_ms = 50;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, refused);
    http_peer_expect_status(&peer, "413 Content Too Large");
    http_peer_expect(&peer, "}");
    http_peer_expect_end(&peer);
    while (http_server_connections(fixture.server) && clock_monotonic_ms() - began_ms < 5000)
        http_fixture_turn(&fixture, 1);
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_finish(&fixture, &peer);
}

static void test_an_idle_connection_closes_and_a_busy_one_does_not(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer, silent;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.idle_timeout_ms = fixture.config.head_timeout_ms = fixture.config.body_timeout_ms = 50;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/"));
    http_peer_expect(&peer, "hello");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);

    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/later"));
    http_fixture_wait(&fixture, &fixture.handled, 2);
    http_peer_dial(&fixture, &silent); /* came later, and all deadlines are equal: when it ends, they have passed */
    http_peer_expect_end(&silent);
    http_respond(fixture.exchange, 200, NULL, NULL, 0);
    http_peer_expect_status(&peer, "200 OK");
    http_peer_close(&silent);
    http_fixture_finish(&fixture, &peer);
}

/* -- listening */

static void test_connections_beyond_the_maximum_are_told_so(void **state)
{
    struct http_fixture fixture;
    struct http_peer first, second, third;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.connections_max = 2;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &first);
    http_peer_dial(&fixture, &second);
    http_peer_dial(&fixture, &third);
    http_peer_send(&third, GET("/"));
    http_peer_expect_status(&third, "503 Service Unavailable");
    http_peer_expect(&third, "Retry-After: 1\r\n");
    http_peer_expect(&third, "Connection: close\r\n");
    http_peer_expect(&third, "\"code\":\"too_many_connections\"");
    http_peer_expect(&third, "}");
    http_peer_expect_end(&third);
    http_peer_close(&third);
    http_peer_close(&second);
    http_peer_dial(&fixture, &third);
    http_peer_send(&third, GET("/"));
    http_peer_expect_status(&third, "200 OK");
    http_peer_close(&third);
    http_peer_close(&first);
    http_fixture_end(&fixture);
}

static void test_the_maximum_holds_against_clients_that_do_not_listen(void **state)
{
    enum { CLIENTS = 200 };
    struct http_fixture fixture;
    struct http_peer peers[CLIENTS];

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.connections_max = 2;
    http_fixture_start(&fixture);
    for (int i = 0; i < CLIENTS; i++)
        http_peer_dial(&fixture, &peers[i]);
    assert_in_range(http_server_connections(fixture.server), 2, 100);
    for (int i = 0; i < CLIENTS; i++)
        http_peer_close(&peers[i]);
    http_fixture_end(&fixture);
}

static void dial_from(struct http_fixture *fixture, struct http_peer *peer, const char *address)
{
    fixture->clients_from = address;
    http_peer_dial(fixture, peer);
}

static void test_connections_beyond_an_addresses_maximum_are_told_so(void **state)
{
    struct http_fixture fixture;
    struct http_peer first, second, third, other;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.address_limit = http_address_limit_create(100, 2);
    assert_non_null(fixture.config.address_limit);
    http_fixture_start(&fixture);
    dial_from(&fixture, &first, "127.0.0.2");
    dial_from(&fixture, &second, "127.0.0.2");
    dial_from(&fixture, &third, "127.0.0.2");
    dial_from(&fixture, &other, "127.0.0.3");
    http_peer_send(&third, GET("/"));
    http_peer_expect_status(&third, "503 Service Unavailable");
    http_peer_expect(&third, "Retry-After: 1\r\n");
    http_peer_expect(&third, "\"detail\":\"Too many connections are open from this address\"");
    http_peer_expect(&third, "}");
    http_peer_expect_end(&third);
    http_peer_close(&third);
    http_peer_send(&other, GET("/"));
    http_peer_expect_status(&other, "200 OK");
    http_peer_reset(&second);
    dial_from(&fixture, &third, "127.0.0.2");
    http_peer_send(&third, GET("/"));
    http_peer_expect_status(&third, "200 OK");
    http_peer_close(&third);
    http_peer_close(&other);
    http_peer_close(&first);
    http_fixture_end(&fixture);
    http_address_limit_destroy(fixture.config.address_limit);
}

static void test_without_descriptors_a_connection_waits_in_the_backlog(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;
    struct rlimit before, tight;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    tight = before;
    tight.rlim_cur = (rlim_t)dup(STDIN_FILENO) + 1; /* the lowest free one is the client's, and the last */
    close((int)tight.rlim_cur - 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/"));
    http_fixture_turn(&fixture, 50);
    assert_int_equal(fixture.handled, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    http_peer_expect_status(&peer, "200 OK");
    http_fixture_finish(&fixture, &peer);
}

static void test_two_servers_may_share_a_port_and_others_may_not(void **state)
{
    struct http_fixture first, second;
    struct http_server *third;
    const char *why = NULL;

    (void)state;
    http_fixture_init(&first);
    first.config.share_port = true;
    http_fixture_start(&first);
    http_fixture_init(&second);
    second.config.share_port = true;
    second.config.listen = http_server_address(first.server);
    http_fixture_start(&second);
    assert_string_equal(http_server_address(first.server), http_server_address(second.server));
    second.config.share_port = false;
    third = http_server_create(second.loop, &second.config, &why);
    assert_null(third);
    assert_string_equal(why, "Address already in use");
    http_fixture_end(&second);
    http_fixture_end(&first);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *listen, *begins; /* NULL: refused */
    } cases[] = {
        {"127.0.0.1:0",     "127.0.0.1:"},
        {"localhost:0",     ""          },
        {"0.0.0.0:0",       "0.0.0.0:"  },
        {":0",              ""          },
        {"[::1]:0",         "[::1]:"    },
        {"::1:0",           NULL        },
        {"[::1]",           NULL        },
        {"[::1:0",          NULL        },
        {"127.0.0.1",       NULL        },
        {"127.0.0.1:",      NULL        },
        {"127.0.0.1:http",  NULL        },
        {"127.0.0.1:65536", NULL        },
        {"",                NULL        },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_fixture fixture;
        const char *why = NULL;

        http_fixture_init(&fixture);
        fixture.config.listen = cases[i].listen;
        fixture.loop = loop_create();
        fixture.server = http_server_create(fixture.loop, &fixture.config, &why);
        if (!fixture.server != !cases[i].begins || (!fixture.server && !why))
            fail_msg("%s: %s", cases[i].listen, why ? why : "listens");
        if (fixture.server &&
            strncmp(http_server_address(fixture.server), cases[i].begins, strlen(cases[i].begins)) != 0)
            fail_msg("%s: listens at %s", cases[i].listen, http_server_address(fixture.server));
        http_fixture_end(&fixture);
    }
}

/* -- the probe, which blocks and so has a thread of its own */

struct probing {
    pthread_t thread;
    char listen[64];
    const char *path;
    enum http_healthcheck_transport transport;
    int timeout_ms, result, done;
};

static void *probe(void *arg)
{
    struct probing *probing = arg;

    probing->result = http_healthcheck(probing->listen, probing->transport, probing->path, probing->timeout_ms);
    __atomic_store_n(&probing->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void test_the_probe_tells_the_status_or_what_went_wrong(void **state)
{
    static const struct {
        const char *path;
        int timeout_ms, want;
    } cases[] = {
        {"/",        5000, 200        },
        {"/nowhere", 5000, 404        },
        {"/later",   50,   ERR_TIMEOUT},
    };
    struct http_fixture fixture;
    const char *port;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    port = strrchr(http_server_address(fixture.server), ':');
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct probing probing = {.path = cases[i].path, .timeout_ms = cases[i].timeout_ms};

        (void)snprintf(probing.listen, sizeof(probing.listen), "0.0.0.0%s", port);
        probing.transport = fixture.tls ? HEALTHCHECK_TLS : HEALTHCHECK_PLAIN;
        assert_int_equal(pthread_create(&probing.thread, NULL, probe, &probing), 0);
        http_fixture_wait(&fixture, &probing.done, 1);
        assert_int_equal(pthread_join(probing.thread, NULL), 0);
        assert_int_equal(probing.result, cases[i].want);
    }
    http_fixture_end(&fixture);
}

static void test_the_probe_of_a_closed_port_fails_at_once(void **state)
{
    struct http_fixture fixture;
    char address[64];

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    (void)snprintf(address, sizeof(address), "%s", http_server_address(fixture.server));
    http_fixture_end(&fixture);
    assert_int_equal(http_healthcheck(address, HEALTHCHECK_PLAIN, "/", 5000), ERR_LOST);
    assert_int_equal(http_healthcheck("nonsense", HEALTHCHECK_PLAIN, "/", 5000), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest plain_only[] = {
        cmocka_unit_test(test_connections_beyond_the_maximum_are_told_so),
        cmocka_unit_test(test_without_descriptors_a_connection_waits_in_the_backlog),
        cmocka_unit_test(test_connections_beyond_an_addresses_maximum_are_told_so),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_single_bytes_do_not_prolong_a_deadline),
        cmocka_unit_test(test_single_chunks_do_not_prolong_a_deadline),
        cmocka_unit_test(test_an_empty_line_after_an_answer_leaves_the_connection_idle),
        cmocka_unit_test(test_a_client_that_never_stops_sending_is_cut),
        cmocka_unit_test(test_a_client_that_says_nothing_after_the_last_answer_is_cut_sooner),
        cmocka_unit_test(test_an_idle_connection_closes_and_a_busy_one_does_not),
        cmocka_unit_test(test_the_maximum_holds_against_clients_that_do_not_listen),
        cmocka_unit_test(test_two_servers_may_share_a_port_and_others_may_not),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_the_probe_tells_the_status_or_what_went_wrong),
        cmocka_unit_test(test_the_probe_of_a_closed_port_fails_at_once),
    };

    return cmocka_run_group_tests_name("plain alone", plain_only, NULL, NULL) +
           cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
