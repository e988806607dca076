/* Deadlines, connection limits, listen addresses, and the healthcheck client. */
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

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/http/address_limit.h"
#include "common/http/healthcheck.h"
#include "tests/support/http_fixture.h"

/* -- deadlines of head and body */

static void test_deadlines(void **state)
{
    static const struct {
        const char *name, *sent, *status; /* NULL: closed without an answer */
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
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_client client;

        http_client_dial(&fixture, &client);
        http_client_send(&client, cases[i].sent);
        if (cases[i].status) {
            http_client_expect_status(&client, cases[i].status);
            http_client_expect(&client, "Connection: close\r\n");
            http_client_expect(&client, "}");
        }
        http_client_expect_end(&client);
        http_client_close(&client);
    }
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

static void test_trickled_head_bytes_do_not_extend_the_deadline(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.head_timeout_ms = 100;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &client);
    http_client_send(&client, "GET / HTTP/1.1\r\nA: ");
    for (int i = 0; i < 5000 && http_client_has_nothing(&client); i++)
        http_client_send(&client, "x");
    http_client_expect_status(&client, "408 Request Timeout");
    http_fixture_finish(&fixture, &client);
}

static void test_trickled_chunks_do_not_extend_the_deadline(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.body_timeout_ms = 100;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &client);
    http_client_send(&client, POST_CHUNKED("/"));
    for (int i = 0; i < 5000 && http_client_has_nothing(&client); i++)
        http_client_send(&client, "1\r\nx\r\n");
    http_client_expect_status(&client, "408 Request Timeout");
    http_fixture_finish(&fixture, &client);
}

/* An empty line does not begin a request: the idle timeout applies, and no 408 is sent. */
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
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_client client;

        http_client_dial(&fixture, &client);
        http_client_send(&client, cases[i].together);
        http_client_expect_body(&client, "hello");
        http_client_send(&client, cases[i].later);
        http_client_expect_end(&client);
        http_client_close(&client);
    }
    http_fixture_end(&fixture);
}

/* -- after the last answer */

static const char refused[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";

static void test_a_client_that_never_stops_sending_is_cut(void **state)
{
    static char junk[64 * 1024];
    struct http_fixture fixture;
    struct http_client client;
    int64_t began_ms;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.linger_timeout_ms = 500;
    fixture.config.linger_max_ms = 1000;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &client);
    http_client_send(&client, refused);
    http_client_expect_status(&client, "413 Content Too Large");
    began_ms = clock_monotonic_ms();
    while (http_server_connections(fixture.server) && clock_monotonic_ms() - began_ms < 5000)
        http_client_send_bytes(&client, junk, sizeof(junk));
    assert_int_equal(http_server_connections(fixture.server), 0);
    assert_true(clock_monotonic_ms() - began_ms >=
                500); /* linger_max_ms has ended it: linger_timeout_ms applies to silent clients */
    http_fixture_finish(&fixture, &client);
}

static void test_a_client_that_is_silent_after_the_last_answer_is_cut_sooner(void **state)
{
    struct http_fixture fixture;
    struct http_client client;
    int64_t began_ms = clock_monotonic_ms();

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.linger_timeout_ms = 50;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &client);
    http_client_send(&client, refused);
    http_client_expect_status(&client, "413 Content Too Large");
    http_client_expect(&client, "}");
    http_client_expect_end(&client);
    while (http_server_connections(fixture.server) && clock_monotonic_ms() - began_ms < 5000)
        http_fixture_turn(&fixture, 1);
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_finish(&fixture, &client);
}

static void test_an_idle_connection_closes_and_a_busy_one_does_not(void **state)
{
    struct http_fixture fixture;
    struct http_client client, silent;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.idle_timeout_ms = fixture.config.head_timeout_ms = fixture.config.body_timeout_ms = 50;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &client);
    http_client_send(&client, GET("/"));
    http_client_expect(&client, "hello");
    http_client_expect_end(&client);
    http_client_close(&client);

    http_client_dial(&fixture, &client);
    http_client_send(&client, GET("/later"));
    http_fixture_wait(&fixture, &fixture.handled, 2);
    http_client_dial(&fixture,
                     &silent); /* dialled later with the same deadline, so when it ends, the first one's has passed */
    http_client_expect_end(&silent);
    http_respond(fixture.exchange, 200, NULL, NULL, 0);
    http_client_expect_status(&client, "200 OK");
    http_client_close(&silent);
    http_fixture_finish(&fixture, &client);
}

/* -- listening */

static void test_connections_above_the_maximum_get_503(void **state)
{
    struct http_fixture fixture;
    struct http_client first, second, third;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.connections_max = 2;
    http_fixture_start(&fixture);
    http_client_dial(&fixture, &first);
    http_client_dial(&fixture, &second);
    http_client_dial(&fixture, &third);
    http_client_send(&third, GET("/"));
    http_client_expect_status(&third, "503 Service Unavailable");
    http_client_expect(&third, "Retry-After: 1\r\n");
    http_client_expect(&third, "Connection: close\r\n");
    http_client_expect(&third, "\"code\":\"too_many_connections\"");
    http_client_expect(&third, "}");
    http_client_expect_end(&third);
    http_client_close(&third);
    http_client_close(&second);
    http_client_dial(&fixture, &third);
    http_client_send(&third, GET("/"));
    http_client_expect_status(&third, "200 OK");
    http_client_close(&third);
    http_client_close(&first);
    http_fixture_end(&fixture);
}

static void test_the_maximum_applies_to_clients_that_do_not_read_the_refusal(void **state)
{
    enum { CLIENTS = 200 };
    struct http_fixture fixture;
    struct http_client clients[CLIENTS];

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.connections_max = 2;
    http_fixture_start(&fixture);
    for (int i = 0; i < CLIENTS; i++)
        http_client_dial(&fixture, &clients[i]);
    assert_in_range(http_server_connections(fixture.server), 2, 100);
    for (int i = 0; i < CLIENTS; i++)
        http_client_close(&clients[i]);
    http_fixture_end(&fixture);
}

static void dial_from(struct http_fixture *fixture, struct http_client *client, const char *address)
{
    fixture->clients_from = address;
    http_client_dial(fixture, client);
}

static void test_connections_above_the_limit_of_their_address_get_503(void **state)
{
    struct http_fixture fixture;
    struct http_client first, second, third, other;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.address_limit = http_address_limit_create(100, 2);
    assert_non_null(fixture.config.address_limit);
    http_fixture_start(&fixture);
    dial_from(&fixture, &first, "127.0.0.2");
    dial_from(&fixture, &second, "127.0.0.2");
    dial_from(&fixture, &third, "127.0.0.2");
    dial_from(&fixture, &other, "127.0.0.3");
    http_client_send(&third, GET("/"));
    http_client_expect_status(&third, "503 Service Unavailable");
    http_client_expect(&third, "Retry-After: 1\r\n");
    http_client_expect(&third, "\"detail\":\"Too many connections are open from this address\"");
    http_client_expect(&third, "}");
    http_client_expect_end(&third);
    http_client_close(&third);
    http_client_send(&other, GET("/"));
    http_client_expect_status(&other, "200 OK");
    http_client_reset(&second);
    dial_from(&fixture, &third, "127.0.0.2");
    http_client_send(&third, GET("/"));
    http_client_expect_status(&third, "200 OK");
    http_client_close(&third);
    http_client_close(&other);
    http_client_close(&first);
    http_fixture_end(&fixture);
    http_address_limit_destroy(fixture.config.address_limit);
}

static void test_without_free_descriptors_a_connection_waits_in_the_backlog(void **state)
{
    struct http_fixture fixture;
    struct http_client client;
    struct rlimit before, tight;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    tight = before;
    tight.rlim_cur = (rlim_t)dup(STDIN_FILENO) + 1; /* leaves one free descriptor, which the client takes */
    close((int)tight.rlim_cur - 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    http_client_dial(&fixture, &client);
    http_client_send(&client, GET("/"));
    http_fixture_turn(&fixture, 50);
    assert_int_equal(fixture.handled, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    http_client_expect_status(&client, "200 OK");
    http_fixture_finish(&fixture, &client);
}

static void test_only_servers_with_share_port_share_a_port(void **state)
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

static void test_listen_addresses(void **state)
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
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
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

/* -- the healthcheck, which blocks and so needs its own thread */

struct check {
    pthread_t thread;
    char listen[64];
    const char *path;
    enum http_healthcheck_transport transport;
    int timeout_ms, result, done;
};

static void *run_healthcheck(void *arg)
{
    struct check *check = arg;

    check->result = http_healthcheck(check->listen, check->transport, check->path, check->timeout_ms);
    __atomic_store_n(&check->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void test_the_healthcheck_returns_the_status_or_the_error(void **state)
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
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct check check = {.path = cases[i].path, .timeout_ms = cases[i].timeout_ms};

        (void)snprintf(check.listen, sizeof(check.listen), "0.0.0.0%s", port);
        check.transport = fixture.tls ? HEALTHCHECK_TLS : HEALTHCHECK_PLAIN;
        assert_int_equal(pthread_create(&check.thread, NULL, run_healthcheck, &check), 0);
        http_fixture_wait(&fixture, &check.done, 1);
        assert_int_equal(pthread_join(check.thread, NULL), 0);
        assert_int_equal(check.result, cases[i].want);
    }
    http_fixture_end(&fixture);
}

static void test_the_healthcheck_of_a_closed_port_fails_at_once(void **state)
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
        cmocka_unit_test(test_connections_above_the_maximum_get_503),
        cmocka_unit_test(test_without_free_descriptors_a_connection_waits_in_the_backlog),
        cmocka_unit_test(test_connections_above_the_limit_of_their_address_get_503),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_trickled_head_bytes_do_not_extend_the_deadline),
        cmocka_unit_test(test_trickled_chunks_do_not_extend_the_deadline),
        cmocka_unit_test(test_an_empty_line_after_an_answer_leaves_the_connection_idle),
        cmocka_unit_test(test_a_client_that_never_stops_sending_is_cut),
        cmocka_unit_test(test_a_client_that_is_silent_after_the_last_answer_is_cut_sooner),
        cmocka_unit_test(test_an_idle_connection_closes_and_a_busy_one_does_not),
        cmocka_unit_test(test_the_maximum_applies_to_clients_that_do_not_read_the_refusal),
        cmocka_unit_test(test_only_servers_with_share_port_share_a_port),
        cmocka_unit_test(test_listen_addresses),
        cmocka_unit_test(test_the_healthcheck_returns_the_status_or_the_error),
        cmocka_unit_test(test_the_healthcheck_of_a_closed_port_fails_at_once),
    };

    return cmocka_run_group_tests_name("plain alone", plain_only, NULL, NULL) +
           cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
