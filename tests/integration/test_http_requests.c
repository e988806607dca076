/* Requests and their answers over real sockets. See also test_http_hook.c, test_http_connections.c (deadlines and limits) and
 * test_http_stream.c (streams, and how connections end). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/macros.h"
#include "tests/support/http_fixture.h"

enum { FILE_MAX = 16 * 1024, PIPELINED = 1000, HUGE = 20 * 1024 * 1024 };

static void test_a_connection_serves_one_request_after_another(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, GET("/"));
    http_client_expect_status(&client, "200 OK");
    http_client_expect(&client, "Content-Type: text/plain\r\nContent-Length: 5\r\n");
    http_client_expect_body(&client, "hello");
    http_client_send(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    http_client_expect_status(&client, "200 OK");
    http_client_expect(&client, "Connection: close\r\n\r\nabc");
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    struct http_fixture fixture;
    struct http_client client;
    struct buf requests;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    buf_init(&requests, 1 << 20);
    for (int i = 0; i < PIPELINED; i++)
        buf_addf(&requests, "%s%04d", post, i);
    http_client_dial(&fixture, &client);
    http_client_send_bytes(&client, requests.data, requests.len);
    for (int i = 0; i < PIPELINED; i++) {
        char body[16];

        (void)snprintf(body, sizeof(body), "%04d", i);
        http_client_expect_status(&client, "200 OK");
        http_client_expect_body(&client, body);
    }
    buf_deinit(&requests);
    http_fixture_finish(&fixture, &client);
}

static void test_each_pipelined_request_keeps_its_own_id(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: the-longer-one\r\n\r\n"
                              "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: short\r\n\r\n");
    http_client_expect(&client, "\r\nX-Request-Id: the-longer-one\r\n");
    http_client_expect(&client, "\r\nX-Request-Id: short\r\n");
    http_fixture_finish(&fixture, &client);
}

static void test_a_request_after_an_unanswered_one_waits(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, GET("/later") GET("/"));
    http_fixture_turn(&fixture, 20);
    assert_int_equal(fixture.handled, 1);
    http_respond(fixture.exchange, 202, NULL, "x", 1);
    http_client_expect_status(&client, "202 Accepted");
    http_client_expect_body(&client, "x");
    http_client_expect_status(&client, "200 OK");
    http_client_expect_body(&client, "hello");
    assert_int_equal(fixture.closed, 0);
    http_fixture_finish(&fixture, &client);
}

static void test_bytes_after_an_unanswered_request_stay_in_the_kernel(void **state)
{
    struct http_fixture fixture;
    struct http_client client;
    size_t sent = 0;
    ssize_t n;
    static char junk[64 * 1024];

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, GET("/later"));
    while ((n = send(client.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0) {
        sent += (size_t)n;
        http_fixture_turn(&fixture, 2);
        assert_true(sent < 64u << 20); /* a server that reads ahead would take them all */
    }
    http_client_reset(&client);
    http_fixture_wait(&fixture, &fixture.closed, 1);
    http_fixture_end(&fixture);
}

static void test_head_is_answered_like_get_without_the_body(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/"));
    http_client_expect_status(&client, "200 OK");
    http_client_expect(&client, "Content-Length: 5\r\n");
    http_client_expect(&client, "\r\n\r\n");
    http_client_expect_status(&client, "200 OK");
    http_client_send(&client, "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    http_client_expect(&client, "hello");
    http_client_expect_status(&client, "404 Not Found");
    http_client_expect(&client, "Content-Type: application/problem+json\r\n");
    http_client_expect(&client, "\r\n\r\n");
    http_client_half_close(&client);
    http_client_expect_end(&client);
    http_fixture_finish(&fixture, &client);
}

static void test_routes(void **state)
{
    static const struct {
        const char *name, *request_line, *status, *then; /* then: expected in the rest of the answer */
    } cases[] = {
        {"a variable segment",                        "GET /items/a%3Ab HTTP/1.1",  "200 OK",                 "a:b"                          },
        {"a segment that is badly encoded",           "GET /items/a%3 HTTP/1.1",    "200 OK",                 "a%3"                          },
        {"a variable segment is not empty",           "GET /items/ HTTP/1.1",       "404 Not Found",          "\"code\":\"not_found\""       },
        {"a variable is one segment, not two",        "GET /items/a/b HTTP/1.1",    "404 Not Found",          "\"code\":\"not_found\""       },
        {"a prefix of a path does not match",         "GET /item HTTP/1.1",         "404 Not Found",          "\"code\":\"not_found\""       },
        {"the query is not part of the path",         "GET /items/a?b=/c HTTP/1.1", "200 OK",                 "\r\n\r\na"                    },
        {"an unknown path stays unknown for OPTIONS", "OPTIONS /no HTTP/1.1",       "404 Not Found",          "\"status\":404"               },
        {"OPTIONS lists the methods of a path",       "OPTIONS / HTTP/1.1",         "204 No Content",
         "Allow: GET, HEAD, POST, OPTIONS\r\n"                                                                                               },
        {"405 lists them too",                        "DELETE /later HTTP/1.1",     "405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n"},
        {"POST on a path with only GET",              "POST /later HTTP/1.1",       "405 Method Not Allowed",
         "\"code\":\"method_not_allowed\""                                                                                                   },
    };
    struct http_fixture fixture;

    (void)state;
    http_fixture_init(&fixture);
    http_fixture_start(&fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_client client;

        http_client_dial(&fixture, &client);
        http_client_send(&client, cases[i].request_line);
        http_client_send(&client, "\r\nHost: a\r\n\r\n");
        http_client_expect_status(&client, cases[i].status);
        http_client_expect(&client, cases[i].then);
        http_client_close(&client);
    }
    http_fixture_end(&fixture);
}

static void test_a_204_has_neither_body_nor_length(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    http_client_expect_status(&client, "204 No Content");
    http_client_expect(&client, "Connection: close\r\n\r\n");
    http_client_expect_end(&client);
    assert_null(strstr(client.received.data, "Content-"));
    http_fixture_finish(&fixture, &client);
}

/* -- the raw requests of tests/data/http */

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

static bool keeps_the_connection(int status)
{
    return status < 300 || status == 404 || status == 405;
}

static void check_row(struct http_fixture *fixture, const char *name, int status)
{
    static char bytes[FILE_MAX];
    size_t len = load(name, bytes);
    struct http_client client;
    char line[32];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    http_client_dial(fixture, &client);
    http_client_send_bytes(&client, bytes, len);
    http_client_half_close(&client);
    http_client_expect_nothing_before(&client, line);
    if (!keeps_the_connection(status)) {
        http_client_expect(&client, "Content-Type: application/problem+json\r\n");
        http_client_expect(&client, "Connection: close\r\n\r\n");
        if (strncmp(bytes, "HEAD", 4) != 0)
            http_client_expect(&client, "}");
        http_client_expect_end(&client); /* a second answer would mean that the input was read as two requests */
    }
    http_client_close(&client);
}

static void test_every_raw_request_gets_one_answer_with_its_status(void **state)
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

/* The client writes its complete body before it reads. */
static void test_a_client_that_is_still_sending_gets_the_refusal_without_a_reset(void **state)
{
    static const size_t mebibytes[] = {1, 2, 5, 20};
    char *body = calloc(1, HUGE);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(mebibytes); i++) {
        size_t len = mebibytes[i / 2] << 20;
        struct http_fixture fixture;
        struct http_client client;
        char head[160];

        if (i % 2)
            (void)snprintf(head, sizeof(head), POST_CHUNKED("/") "%zx\r\n", len);
        else
            (void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", len);
        http_fixture_begin(&fixture, &client);
        http_client_send(&client, head);
        http_client_send_bytes(&client, body, len);
        http_client_expect_status(&client, "413 Content Too Large");
        http_client_expect(&client, "Connection: close\r\n");
        http_client_expect(&client, "\"code\":\"body_too_large\"");
        http_client_expect(&client, "}");
        http_client_expect_end(&client);
        assert_int_equal(fixture.handled, 0);
        http_fixture_finish(&fixture, &client);
    }
    free(body);
}

/* -- bodies in chunks */

static void test_a_chunked_body_is_decoded(void **state)
{
    static const char request[] = POST_CHUNKED("/") "3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nA: b\r\n\r\n";
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    for (size_t piece = 1; piece < sizeof(request); piece += piece < 8 ? 1 : 31) {
        for (size_t at = 0; at < sizeof(request) - 1; at += piece) {
            size_t rest = sizeof(request) - 1 - at;

            http_client_send_bytes(&client, request + at, piece < rest ? piece : rest);
        }
        http_client_expect_status(&client, "200 OK");
        http_client_expect(&client, "Content-Length: 13\r\n");
        http_client_expect_body(&client, "abc0123456789");
    }
    http_client_send(&client, POST_CHUNKED("/") "0\r\n\r\n" GET("/"));
    http_client_expect_status(&client, "200 OK");
    http_client_expect(&client, "Content-Length: 0\r\n");
    http_client_expect(&client, "\r\n\r\n");
    http_client_expect_status(&client, "200 OK");
    http_client_expect_body(&client, "hello");
    http_fixture_finish(&fixture, &client);
}

/* Fills `out` with content that does not repeat, in chunks of growing size. */
static void add_chunks(struct buf *out, struct buf *content, size_t len)
{
    for (size_t size = 1; content->len < len; size = size * 3 % 20011) {
        size_t n = size < len - content->len ? size : len - content->len;
        size_t at = content->len;

        for (size_t i = 0; i < n; i++)
            buf_add_char(content, (char)('a' + (at + i) * 7 / 1000 % 26));
        buf_addf(out, "%zX\r\n", n);
        buf_add(out, content->data + at, n);
        buf_add_text(out, "\r\n");
    }
    buf_add_text(out, "0\r\n\r\n");
}

static void test_the_body_limit_counts_the_decoded_bytes(void **state)
{
    enum { LIMIT = 256 * 1024 };
    static const struct {
        size_t len;
        const char *status;
    } cases[] = {
        {LIMIT - 1, "200 OK"               },
        {LIMIT,     "200 OK"               },
        {LIMIT + 1, "413 Content Too Large"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_fixture fixture;
        struct http_client client;
        struct buf coded, content;

        buf_init(&coded, 2 * LIMIT);
        buf_init(&content, 2 * LIMIT);
        buf_add_text(&coded, POST_CHUNKED("/"));
        add_chunks(&coded, &content, cases[i].len);
        http_fixture_begin(&fixture, &client);
        http_client_send_bytes(&client, coded.data, coded.len);
        http_client_expect_status(&client, cases[i].status);
        if (cases[i].len <= LIMIT)
            http_client_expect_body(&client, content.data);
        else
            http_client_expect(&client, "Connection: close\r\n");
        buf_deinit(&coded);
        buf_deinit(&content);
        http_fixture_finish(&fixture, &client);
    }
}

static void test_continue_is_sent_for_a_chunked_body(void **state)
{
    static const char head[] = " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, "POST /");
    http_client_send(&client, head);
    http_client_expect_nothing_before(&client, "HTTP/1.1 100 Continue\r\n\r\n");
    http_client_send(&client, "3\r\nabc\r\n0\r\n\r\n");
    http_client_expect_status(&client, "200 OK");
    http_client_expect_body(&client, "abc");
    http_client_send(&client, "POST /nowhere");
    http_client_send(&client, head);
    http_client_expect_status(&client, "404 Not Found");
    http_client_expect(&client, "Connection: close\r\n");
    http_client_expect(&client, "}");
    http_client_expect_end(&client);
    http_fixture_finish(&fixture, &client);
}

static void test_a_complete_chunked_body_without_a_route_keeps_the_connection(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, POST_CHUNKED("/nowhere") "3\r\nabc\r\n0\r\n\r\n" GET("/"));
    http_client_expect_status(&client, "404 Not Found");
    http_client_expect(&client, "}");
    http_client_expect_status(&client, "200 OK");
    http_client_expect_body(&client, "hello");
    http_fixture_finish(&fixture, &client);
}

/* Whether or not the lines arrive together. */
static void test_one_empty_line_before_a_request_is_ignored_and_a_second_is_refused(void **state)
{
    static const struct {
        const char *pieces[4];
        int answers;
        bool refused; /* after them */
    } cases[] = {
        {{"\r\n", GET("/")},                                                            1, false},
        {{"\r", "\n" GET("/")},                                                         1, false},
        {{"\r\n\r\n", GET("/")},                                                        0, true },
        {{"\r\n", "\r\n", GET("/")},                                                    0, true },
        {{"\n", GET("/")},                                                              0, true },
        {{GET("/") "\r\n", GET("/")},                                                   2, false},
        {{GET("/"), "\r\n", GET("/")},                                                  2, false},
        {{GET("/") "\r\n" GET("/")},                                                    2, false},
        {{GET("/") "\r\n\r\n"},                                                         1, true },
        {{GET("/") "\r\n", "\r\n"},                                                     1, true },
        {{GET("/"), "\r\n", "\r\n"},                                                    1, true },
        {{GET("/"), "\r", "\n", "\r\n"},                                                1, true },
        {{GET("/") "\r\n" GET("/") "\r\n", GET("/")},                                   3, false},
        {{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n" GET("/")}, 2, false},
        {{POST_CHUNKED("/") "5\r\nhello\r\n0\r\n\r\n", "\r\n", GET("/")},               2, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_fixture fixture;
        struct http_client client;

        print_message("  %zu\n", i);
        http_fixture_begin(&fixture, &client);
        for (size_t piece = 0; piece < 4 && cases[i].pieces[piece]; piece++) {
            http_client_send(&client, cases[i].pieces[piece]);
            http_fixture_turn(&fixture, 3);
        }
        for (int n = 0; n < cases[i].answers; n++) {
            http_client_expect_status(&client, "200 OK");
            http_client_expect_body(&client, "hello");
        }
        if (cases[i].refused) {
            http_client_expect_status(&client, "400 Bad Request");
            http_client_expect(&client, "}");
        } else {
            http_client_half_close(&client);
        }
        http_client_expect_end(&client);
        http_fixture_finish(&fixture, &client);
    }
}

static void test_continue_is_sent_only_for_a_body_that_will_be_read(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    http_client_expect_nothing_before(&client, "HTTP/1.1 100 Continue\r\n\r\n");
    http_client_send(&client, "abc");
    http_client_expect_status(&client, "200 OK");
    http_client_expect_body(&client, "abc");
    http_client_send(&client, "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    http_client_expect_status(&client, "404 Not Found");
    http_client_expect(&client, "Connection: close\r\n");
    http_client_expect(&client, "}");
    http_client_expect_end(&client);
    http_fixture_finish(&fixture, &client);
}

/* -- ids and headers */

static void test_a_valid_request_id_is_kept_and_others_are_replaced(void **state)
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
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char request[256], header[128];

        (void)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n",
                       cases[i].sent);
        (void)snprintf(header, sizeof(header), "X-Request-Id: %s\r\n", cases[i].sent);
        http_client_send(&client, request);
        http_client_expect_status(&client, "200 OK");
        http_client_expect(&client, "Content-Length: 5\r\n");
        if (cases[i].repeated) {
            http_client_expect_nothing_before(&client, header);
        } else {
            http_client_expect_nothing_before(&client, "X-Request-Id: ");
            http_client_expect(&client, "\r\n\r\n");
            http_client_expect_nothing_before(&client, "hello");
            continue;
        }
        http_client_expect_body(&client, "hello");
    }
    http_fixture_finish(&fixture, &client);
}

static void test_headers_that_could_split_the_answer_are_ignored(void **state)
{
    struct http_fixture fixture;
    struct http_client client;

    (void)state;
    http_fixture_begin(&fixture, &client);
    http_client_send(&client, GET("/later"));
    http_fixture_wait(&fixture, &fixture.handled, 1);
    http_add_header(fixture.exchange, "X-Bad", "a\r\nX-Worse: b");
    http_add_header(fixture.exchange, "X Bad", "a");
    http_add_header(fixture.exchange, "X-Bad\r\n", "a");
    http_add_header(fixture.exchange, "X-Good", "caf\xc3\xa9");
    http_add_header(fixture.exchange, "Connection", "close");
    http_respond(fixture.exchange, 200, NULL, NULL, 0);
    http_client_expect_status(&client, "200 OK");
    http_client_expect(&client, "Content-Length: 0\r\nX-Good: caf\xc3\xa9\r\nX-Request-Id: ");
    http_client_expect(&client, "Connection: close\r\n\r\n");
    http_client_expect_end(&client);
    http_fixture_finish(&fixture, &client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_serves_one_request_after_another),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_each_pipelined_request_keeps_its_own_id),
        cmocka_unit_test(test_a_request_after_an_unanswered_one_waits),
        cmocka_unit_test(test_bytes_after_an_unanswered_request_stay_in_the_kernel),
        cmocka_unit_test(test_head_is_answered_like_get_without_the_body),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_a_204_has_neither_body_nor_length),
        cmocka_unit_test(test_every_raw_request_gets_one_answer_with_its_status),
        cmocka_unit_test(test_a_client_that_is_still_sending_gets_the_refusal_without_a_reset),
        cmocka_unit_test(test_a_chunked_body_is_decoded),
        cmocka_unit_test(test_the_body_limit_counts_the_decoded_bytes),
        cmocka_unit_test(test_continue_is_sent_for_a_chunked_body),
        cmocka_unit_test(test_a_complete_chunked_body_without_a_route_keeps_the_connection),
        cmocka_unit_test(test_one_empty_line_before_a_request_is_ignored_and_a_second_is_refused),
        cmocka_unit_test(test_continue_is_sent_only_for_a_body_that_will_be_read),
        cmocka_unit_test(test_a_valid_request_id_is_kept_and_others_are_replaced),
        cmocka_unit_test(test_headers_that_could_split_the_answer_are_ignored),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
