/* Requests and answers over real sockets. Streams and endings are in test_http_stream.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http/peers.h"
#include "common/http/probe.h"
#include "common/loop.h"
#include "tests/support/http_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

enum { FILE_MAX = 16 * 1024, PIPELINED = 1000, BIG = 512 * 1024 };

static void expect_status(struct http_peer *peer, const char *status)
{
    char line[64];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", status);
    http_peer_expect_nothing_before(peer, line);
}

static void expect_body(struct http_peer *peer, const char *body)
{
    http_peer_expect(peer, "\r\n\r\n");
    http_peer_expect_nothing_before(peer, body);
}

static void test_a_connection_serves_one_request_after_the_other(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/"));
    expect_status(&peer, "200 OK");
    http_peer_expect(&peer, "Content-Type: text/plain\r\nContent-Length: 5\r\n");
    expect_body(&peer, "hello");
    http_peer_send(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    expect_status(&peer, "200 OK");
    http_peer_expect(&peer, "Connection: close\r\n\r\nabc");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    struct http_fixture fixture;
    struct http_peer peer;
    struct buf requests;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    buf_init(&requests, 1 << 20);
    for (int i = 0; i < PIPELINED; i++)
        buf_addf(&requests, "%s%04d", post, i);
    http_peer_dial(&fixture, &peer);
    http_peer_send_bytes(&peer, requests.data, requests.len);
    for (int i = 0; i < PIPELINED; i++) {
        char body[16];

        (void)snprintf(body, sizeof(body), "%04d", i);
        expect_status(&peer, "200 OK");
        expect_body(&peer, body);
    }
    buf_deinit(&requests);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void test_each_pipelined_request_keeps_its_own_id(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: the-longer-one\r\n\r\n"
                          "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: short\r\n\r\n");
    http_peer_expect(&peer, "\r\nX-Request-Id: the-longer-one\r\n");
    http_peer_expect(&peer, "\r\nX-Request-Id: short\r\n");
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void test_a_request_behind_an_unanswered_one_waits(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/later") GET("/"));
    http_fixture_turn(&fixture, 20);
    assert_int_equal(fixture.handled, 1);
    http_respond(fixture.exchange, 202, NULL, "x", 1);
    expect_status(&peer, "202 Accepted");
    expect_body(&peer, "x");
    expect_status(&peer, "200 OK");
    expect_body(&peer, "hello");
    assert_int_equal(fixture.closed, 0);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void test_bytes_behind_an_unanswered_request_stay_in_the_kernel(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;
    size_t sent = 0;
    ssize_t n;
    static char junk[64 * 1024];

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/later"));
    while ((n = send(peer.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0) {
        sent += (size_t)n;
        http_fixture_turn(&fixture, 2);
        assert_true(sent < 64u << 20); /* a server that reads on would take them all */
    }
    http_peer_reset(&peer);
    http_fixture_wait(&fixture, &fixture.closed, 1);
    http_fixture_end(&fixture);
}

static void test_head_is_get_without_the_body(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/"));
    expect_status(&peer, "200 OK");
    http_peer_expect(&peer, "Content-Length: 5\r\n");
    http_peer_expect(&peer, "\r\n\r\n");
    expect_status(&peer, "200 OK");
    http_peer_send(&peer, "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    http_peer_expect(&peer, "hello");
    expect_status(&peer, "404 Not Found");
    http_peer_expect(&peer, "Content-Type: application/problem+json\r\n");
    http_peer_expect(&peer, "\r\n\r\n");
    http_peer_half_close(&peer);
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void test_routes(void **state)
{
    static const struct {
        const char *name, *request_line, *status, *then; /* then: in the rest of the answer */
    } cases[] = {
        {"a variable segment",                        "GET /items/a%3Ab HTTP/1.1",  "200 OK",                 "a:b"                            },
        {"one that is badly encoded",                 "GET /items/a%3 HTTP/1.1",    "200 OK",                 "a%3"                            },
        {"a variable segment is not empty",           "GET /items/ HTTP/1.1",       "404 Not Found",          "\"code\":\"not_found\""         },
        {"nor two segments",                          "GET /items/a/b HTTP/1.1",    "404 Not Found",          "\"code\":\"not_found\""         },
        {"a path is whole",                           "GET /item HTTP/1.1",         "404 Not Found",          "\"code\":\"not_found\""         },
        {"the query is not part of it",               "GET /items/a?b=/c HTTP/1.1", "200 OK",                 "\r\n\r\na"                      },
        {"an unknown path stays unknown for OPTIONS", "OPTIONS /no HTTP/1.1",       "404 Not Found",          "\"status\":404"                 },
        {"OPTIONS tells what a path takes",           "OPTIONS / HTTP/1.1",         "204 No Content",
         "Allow: GET, HEAD, POST, OPTIONS\r\n"                                                                                                 },
        {"so does 405",                               "DELETE /later HTTP/1.1",     "405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n"  },
        {"POST where only GET is",                    "POST /later HTTP/1.1",       "405 Method Not Allowed", "\"code\":\"method_not_allowed\""},
    };
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_peer peer;

        http_peer_dial(&fixture, &peer);
        http_peer_send(&peer, cases[i].request_line);
        http_peer_send(&peer, "\r\nHost: a\r\n\r\n");
        expect_status(&peer, cases[i].status);
        http_peer_expect(&peer, cases[i].then);
        http_peer_close(&peer);
    }
    http_fixture_end(&fixture);
}

static void test_a_204_has_neither_body_nor_length(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect_status(&peer, "204 No Content");
    http_peer_expect(&peer, "Connection: close\r\n\r\n");
    http_peer_expect_end(&peer);
    assert_null(strstr(peer.received.data, "Content-"));
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

/* -- the raw requests of the manifest, as far as the server answers them */

static size_t load(const char *name, char *out)
{
    char path[512];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "%s/http/%s.http", TEST_DATA, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    len = fread(out, 1, FILE_MAX, file);
    (void)fclose(file);
    return len;
}

static bool leaves_no_doubt(int status)
{
    return status < 300 || status == 404 || status == 405;
}

static void check_row(struct http_fixture *fixture, const char *name, int status)
{
    static char bytes[FILE_MAX];
    size_t len = load(name, bytes);
    struct http_peer peer;
    char line[32];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    http_peer_dial(fixture, &peer);
    http_peer_send_bytes(&peer, bytes, len);
    http_peer_half_close(&peer);
    http_peer_expect_nothing_before(&peer, line);
    if (!leaves_no_doubt(status)) {
        http_peer_expect(&peer, "Content-Type: application/problem+json\r\n");
        http_peer_expect(&peer, "Connection: close\r\n\r\n");
        if (strncmp(bytes, "HEAD", 4) != 0)
            http_peer_expect(&peer, "}");
        http_peer_expect_end(&peer); /* and above all: no second answer */
    }
    http_peer_close(&peer);
}

static void test_every_raw_request_is_answered_once_and_with_its_status(void **state)
{
    struct http_fixture fixture;
    FILE *manifest = fopen(TEST_DATA "/http/manifest.txt", "r");
    char line[256], name[81];
    int status;

    (void)state;
    assert_non_null(manifest);
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    while (fgets(line, sizeof(line), manifest)) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%80s %d", name, &status), 2);
        check_row(&fixture, name, status);
    }
    (void)fclose(manifest);
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_a_client_that_is_still_sending_gets_the_refusal_and_no_reset(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;
    char *body = calloc(1, BIG);

    (void)state;
    assert_non_null(body);
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 524288\r\n\r\n");
    http_peer_send_bytes(&peer, body, BIG);
    expect_status(&peer, "413 Content Too Large");
    http_peer_expect(&peer, "\"code\":\"body_too_large\"");
    http_peer_expect(&peer, "}");
    http_peer_expect_end(&peer);
    assert_int_equal(fixture.handled, 0);
    free(body);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void test_continue_is_sent_only_for_a_body_that_will_be_taken(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    http_peer_expect_nothing_before(&peer, "HTTP/1.1 100 Continue\r\n\r\n");
    http_peer_send(&peer, "abc");
    expect_status(&peer, "200 OK");
    expect_body(&peer, "abc");
    http_peer_send(&peer, "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    expect_status(&peer, "404 Not Found");
    http_peer_expect(&peer, "Connection: close\r\n");
    http_peer_expect(&peer, "}");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

/* -- ids and headers */

static void test_a_sane_request_id_is_repeated_and_others_are_replaced(void **state)
{
    static const struct {
        const char *sent;
        bool repeated;
    } cases[] = {
        {"abc-DEF_1.2:3",                                                     true },
        {"0123456789012345678901234567890123456789012345678901234567890123",  true },
        {"01234567890123456789012345678901234567890123456789012345678901234", false},
        {"",                                                                  false},
        {"a b",                                                               false},
        {"a\"b",                                                              false},
        {"\xc3\xa9",                                                          false},
    };
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char request[256], header[128];

        (void)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n",
                       cases[i].sent);
        (void)snprintf(header, sizeof(header), "X-Request-Id: %s\r\n", cases[i].sent);
        http_peer_send(&peer, request);
        expect_status(&peer, "200 OK");
        http_peer_expect(&peer, "Content-Length: 5\r\n");
        if (cases[i].repeated) {
            http_peer_expect_nothing_before(&peer, header);
        } else {
            http_peer_expect_nothing_before(&peer, "X-Request-Id: ");
            http_peer_expect(&peer, "\r\n\r\n");
            http_peer_expect_nothing_before(&peer, "hello");
            continue;
        }
        expect_body(&peer, "hello");
    }
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void test_headers_that_could_split_the_answer_are_dropped(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/later"));
    http_fixture_wait(&fixture, &fixture.handled, 1);
    http_add_header(fixture.exchange, "X-Bad", "a\r\nX-Worse: b");
    http_add_header(fixture.exchange, "X Bad", "a");
    http_add_header(fixture.exchange, "X-Bad\r\n", "a");
    http_add_header(fixture.exchange, "X-Good", "caf\xc3\xa9");
    http_add_header(fixture.exchange, "Connection", "close");
    http_respond(fixture.exchange, 200, NULL, NULL, 0);
    expect_status(&peer, "200 OK");
    http_peer_expect(&peer, "Content-Length: 0\r\nX-Good: caf\xc3\xa9\r\nX-Request-Id: ");
    http_peer_expect(&peer, "Connection: close\r\n\r\n");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void mark(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    http_add_header(exchange, "X-Hook", "yes");
    if (http_text_is(http_exchange_request(exchange)->path, "/hooked"))
        http_respond(exchange, 204, NULL, NULL, 0);
}

static void test_the_hook_sees_every_request_and_may_answer_it(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    http_fixture_init(&fixture);
    fixture.config.on_request = mark;
    http_fixture_start(&fixture);
    http_peer_dial(&fixture, &peer);
    http_peer_send(&peer, GET("/") GET("/no") "PUT / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hooked"));
    expect_status(&peer, "200 OK");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    expect_body(&peer, "hello");
    expect_status(&peer, "404 Not Found");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_peer_expect(&peer, "}");
    expect_status(&peer, "405 Method Not Allowed");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_peer_expect(&peer, "}");
    expect_status(&peer, "204 No Content");
    http_peer_expect(&peer, "X-Hook: yes\r\n");
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void hold(struct http_exchange *exchange, void *arg)
{
    struct http_fixture *fixture = arg;

    assert_null(http_exchange_note(exchange)); /* also of a further request on the same connection */
    http_exchange_set_note(exchange, fixture);
    http_exchange_hold(exchange);
    http_add_header(exchange, "X-Hook", "held");
    fixture->exchange = exchange;
}

static void begin_held(struct http_fixture *fixture, struct http_peer *peer, const char *requests)
{
    http_fixture_init(fixture);
    fixture->config.on_request = hold;
    http_fixture_start(fixture);
    http_peer_dial(fixture, peer);
    http_peer_send(peer, requests);
    while (!fixture->exchange)
        http_fixture_turn(fixture, 1);
}

static void test_a_held_request_waits_for_its_handler(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    static const struct {
        const char *status, *end;
    } answers[] = {
        {"200 OK",        "hello"   },
        {"404 Not Found", "}"       },
        {"403 Forbidden", "\r\n\r\n"},
    };

    (void)state;
    begin_held(&fixture, &peer, GET("/") GET("/no") GET("/"));
    for (int i = 0; i < 3; i++) {
        struct http_exchange *exchange = fixture.exchange;

        http_fixture_turn(&fixture, 20);
        assert_int_equal(fixture.handled, i > 0);
        assert_ptr_equal(http_exchange_note(exchange), &fixture);
        if (i == 2)
            http_respond(exchange, 403, NULL, NULL, 0); /* whoever holds it may answer it */
        else
            http_exchange_resume(exchange);
        expect_status(&peer, answers[i].status);
        http_peer_expect(&peer, "X-Hook: held\r\n");
        http_peer_expect(&peer, answers[i].end);
    }
    assert_int_equal(fixture.handled, 1);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
}

static void on_held_closed(void *arg)
{
    struct http_fixture *fixture = arg;

    fixture->exchange = NULL;
    fixture->closed++;
}

static void test_who_leaves_while_it_is_held_reaches_no_handler(void **state)
{
    struct http_fixture fixture;
    struct http_peer peer;

    (void)state;
    begin_held(&fixture, &peer, GET("/"));
    http_exchange_on_closed(fixture.exchange, on_held_closed, &fixture);
    http_peer_reset(&peer);
    http_fixture_wait(&fixture, &fixture.closed, 1);
    assert_int_equal(fixture.handled, 0);
    http_fixture_end(&fixture);
}

/* Its client may have left already: the handler finds that out as it always does. */
static void test_a_held_request_of_who_has_left_can_go_on(void **state)
{
    static const char *const requests[] = {GET("/"), GET("/later"), GET("/stream")};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct http_fixture fixture;
        struct http_peer peer;

        begin_held(&fixture, &peer, requests[i]);
        http_peer_reset(&peer);
        http_fixture_turn(&fixture, 20);
        http_exchange_resume(fixture.exchange);
        if (i)
            http_fixture_wait(&fixture, &fixture.closed, 1);
        http_fixture_end(&fixture);
    }
}

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
            expect_status(&peer, cases[i].status);
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
    expect_status(&peer, "408 Request Timeout");
    http_peer_close(&peer);
    http_fixture_end(&fixture);
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
    expect_status(&peer, "200 OK");
    http_peer_close(&silent);
    http_peer_close(&peer);
    http_fixture_end(&fixture);
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
    expect_status(&third, "503 Service Unavailable");
    http_peer_expect(&third, "Retry-After: 1\r\n");
    http_peer_expect(&third, "Connection: close\r\n");
    http_peer_expect(&third, "\"code\":\"too_many_connections\"");
    http_peer_expect(&third, "}");
    http_peer_expect_end(&third);
    http_peer_close(&third);
    http_peer_close(&second);
    http_peer_dial(&fixture, &third);
    http_peer_send(&third, GET("/"));
    expect_status(&third, "200 OK");
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
    fixture.config.peers = http_peers_create(100, 2);
    assert_non_null(fixture.config.peers);
    http_fixture_start(&fixture);
    dial_from(&fixture, &first, "127.0.0.2");
    dial_from(&fixture, &second, "127.0.0.2");
    dial_from(&fixture, &third, "127.0.0.2");
    dial_from(&fixture, &other, "127.0.0.3");
    http_peer_send(&third, GET("/"));
    expect_status(&third, "503 Service Unavailable");
    http_peer_expect(&third, "Retry-After: 1\r\n");
    http_peer_expect(&third, "\"detail\":\"Too many connections are open from this address\"");
    http_peer_expect(&third, "}");
    http_peer_expect_end(&third);
    http_peer_close(&third);
    http_peer_send(&other, GET("/"));
    expect_status(&other, "200 OK");
    http_peer_reset(&second);
    dial_from(&fixture, &third, "127.0.0.2");
    http_peer_send(&third, GET("/"));
    expect_status(&third, "200 OK");
    http_peer_close(&third);
    http_peer_close(&other);
    http_peer_close(&first);
    http_fixture_end(&fixture);
    http_peers_destroy(fixture.config.peers);
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
    expect_status(&peer, "200 OK");
    http_peer_close(&peer);
    http_fixture_end(&fixture);
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
    enum http_probe_over over;
    int timeout_ms, result, done;
};

static void *probe(void *arg)
{
    struct probing *probing = arg;

    probing->result = http_probe(probing->listen, probing->over, probing->path, probing->timeout_ms);
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
        probing.over = fixture.tls ? PROBE_TLS : PROBE_PLAIN;
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
    assert_int_equal(http_probe(address, PROBE_PLAIN, "/", 5000), ERR_LOST);
    assert_int_equal(http_probe("nonsense", PROBE_PLAIN, "/", 5000), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest plain_only[] = {
        cmocka_unit_test(test_connections_beyond_the_maximum_are_told_so),
        cmocka_unit_test(test_without_descriptors_a_connection_waits_in_the_backlog),
        cmocka_unit_test(test_connections_beyond_an_addresses_maximum_are_told_so),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_serves_one_request_after_the_other),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_each_pipelined_request_keeps_its_own_id),
        cmocka_unit_test(test_a_request_behind_an_unanswered_one_waits),
        cmocka_unit_test(test_bytes_behind_an_unanswered_request_stay_in_the_kernel),
        cmocka_unit_test(test_head_is_get_without_the_body),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_a_204_has_neither_body_nor_length),
        cmocka_unit_test(test_every_raw_request_is_answered_once_and_with_its_status),
        cmocka_unit_test(test_a_client_that_is_still_sending_gets_the_refusal_and_no_reset),
        cmocka_unit_test(test_continue_is_sent_only_for_a_body_that_will_be_taken),
        cmocka_unit_test(test_a_sane_request_id_is_repeated_and_others_are_replaced),
        cmocka_unit_test(test_headers_that_could_split_the_answer_are_dropped),
        cmocka_unit_test(test_the_hook_sees_every_request_and_may_answer_it),
        cmocka_unit_test(test_a_held_request_waits_for_its_handler),
        cmocka_unit_test(test_who_leaves_while_it_is_held_reaches_no_handler),
        cmocka_unit_test(test_a_held_request_of_who_has_left_can_go_on),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_single_bytes_do_not_prolong_a_deadline),
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
