/* Bodies that a handler takes while they arrive: pieces, pauses, refusals, and clients that go away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "tests/support/http_fixture.h"

enum { TAKEN_MAX = 1 << 20 };

/* What POST /take has received. One request at a time. */
struct taking {
    struct http_fixture fixture; /* first: it is the handlers' argument */
    struct http_client client;
    struct http_exchange *exchange; /* NULL: no request, or it has ended */
    struct buf body;
    int pieces, ends, pauses_left;
    bool refuses;   /* the handler answers 403 instead of taking the body */
    bool waits;     /* the handler does not take the body yet */
    bool stops;     /* answer 422 to the first piece */
    size_t longest; /* piece */
};

static void on_bytes(const char *bytes, size_t len, void *arg)
{
    struct taking *taking = arg;

    assert_false(taking->fixture.in_call);
    assert_true(len > 0 && len <= HTTP_BODY_PIECE_MAX);
    buf_add(&taking->body, bytes, len);
    taking->pieces++;
    if (len > taking->longest)
        taking->longest = len;
    if (taking->stops) {
        http_respond(taking->exchange, 422, NULL, NULL, 0);
        taking->exchange = NULL;
    } else if (taking->pauses_left) {
        taking->pauses_left--;
        http_body_pause(taking->exchange);
    }
}

static void on_end(void *arg)
{
    struct taking *taking = arg;
    char answer[32];

    assert_false(taking->fixture.in_call);
    taking->ends++;
    (void)snprintf(answer, sizeof(answer), "%zu bytes", taking->body.len);
    http_respond(taking->exchange, 200, "text/plain", answer, strlen(answer));
    taking->exchange = NULL;
}

static void on_taker_closed(void *arg)
{
    struct taking *taking = arg;

    assert_false(taking->fixture.in_call);
    taking->fixture.closed++;
    taking->exchange = NULL;
}

static void take(struct taking *taking)
{
    taking->fixture.in_call = true;
    http_body_take(taking->exchange, &(struct http_body_sink){.on_bytes = on_bytes, .on_end = on_end}, TAKEN_MAX);
    taking->fixture.in_call = false;
}

static void serve_take(struct http_exchange *exchange, void *arg)
{
    struct taking *taking = arg;

    taking->fixture.handled++;
    if (taking->refuses) {
        http_respond(exchange, 403, NULL, NULL, 0);
        return;
    }
    taking->exchange = exchange;
    http_exchange_on_closed(exchange, on_taker_closed, taking);
    if (!taking->waits)
        take(taking);
}

static void serve_echo(struct http_exchange *exchange, void *arg)
{
    struct http_text body = http_exchange_request(exchange)->body;

    (void)arg;
    http_respond(exchange, 200, "text/plain", body.data, body.len);
}

static const struct http_route routes[] = {
    {HTTP_POST, "/take", serve_take},
    {HTTP_POST, "/echo", serve_echo},
};
static http_handler_fn *const takers[] = {serve_take, NULL};

static void begin(struct taking *taking)
{
    *taking = (struct taking){.longest = 0};
    http_fixture_init(&taking->fixture);
    buf_init(&taking->body, TAKEN_MAX);
    taking->fixture.config.routes = routes;
    taking->fixture.config.route_count = ARRAY_LENGTH(routes);
    taking->fixture.config.body_takers = takers;
    taking->fixture.config.arg = taking;
    taking->fixture.config.limits.body_max = 1000;
    taking->fixture.config.limits.length_max = TAKEN_MAX;
}

static void start(struct taking *taking)
{
    const int on = 1;

    http_fixture_start(&taking->fixture);
    http_client_dial(&taking->fixture, &taking->client);
    assert_int_equal(setsockopt(taking->client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
}

static void finish(struct taking *taking)
{
    http_fixture_finish(&taking->fixture, &taking->client);
    buf_deinit(&taking->body);
}

static void wait_for_bytes(struct taking *taking, size_t len)
{
    for (int i = 0; taking->body.len < len && i < 100000; i++)
        http_fixture_turn(&taking->fixture, 1);
    assert_int_equal(taking->body.len, len);
}

#define TAKE(length) "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define TAKE_CHUNKS  POST_CHUNKED("/take")

static void test_a_body_arrives_in_pieces_whatever_its_size(void **state)
{
    struct taking taking;
    static const size_t sizes[] = {0, 1, 999, 1001, 16384, 16385, 300000};
    static char body[300000];

    (void)state;
    memset(body, 'x', sizeof(body));
    begin(&taking);
    start(&taking);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        char head[128], want[32];

        buf_clear(&taking.body);
        (void)snprintf(head, sizeof(head), "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        (void)snprintf(want, sizeof(want), "%zu bytes", sizes[i]);
        http_client_send(&taking.client, head);
        http_client_send_bytes(&taking.client, body, sizes[i]);
        http_client_expect_status(&taking.client, "200 OK");
        http_client_expect_body(&taking.client, want);
        assert_int_equal(taking.ends, i + 1);
    }
    finish(&taking);
}

/* Every cut of requests with both codings, followed by a request of the ordinary kind. */
static void test_the_outcome_does_not_depend_on_how_the_input_is_cut(void **state)
{
    static const char *const requests[] = {
        TAKE("5") "hello",
        TAKE_CHUNKS "2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\nX: y\r\n\r\n",
    };
    static const char next[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext";

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        struct taking taking;
        char all[512];
        int len = snprintf(all, sizeof(all), "%s%s", requests[i], next);

        begin(&taking);
        start(&taking);
        for (int cut = 1; cut < len; cut++) {
            buf_clear(&taking.body);
            http_client_send_bytes(&taking.client, all, (size_t)cut);
            http_fixture_turn(&taking.fixture, 3);
            http_client_send_bytes(&taking.client, all + cut, (size_t)(len - cut));
            http_client_expect_status(&taking.client, "200 OK");
            http_client_expect_body(&taking.client, "5 bytes");
            http_client_expect_status(&taking.client, "200 OK");
            http_client_expect_body(&taking.client, "next");
            assert_memory_equal(taking.body.data, "hello", 5);
        }
        finish(&taking);
    }
}

static void test_the_handler_may_refuse_before_the_body_is_read(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    taking.refuses = true;
    start(&taking);
    http_client_send(&taking.client,
                     "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n");
    http_client_expect_nothing_before(&taking.client, "HTTP/1.1 403");
    http_client_expect(&taking.client, "Connection: close\r\n");
    http_client_expect(&taking.client, "\r\n");
    assert_int_equal(taking.body.len, 0);
    finish(&taking);
}

static void test_continue_is_sent_when_the_body_is_taken(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    taking.waits = true;
    start(&taking);
    http_client_send(&taking.client,
                     "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    while (!taking.exchange)
        http_fixture_turn(&taking.fixture, 1);
    http_fixture_turn(&taking.fixture, 10);
    assert_true(http_client_has_nothing(&taking.client));
    take(&taking);
    http_client_expect(&taking.client, "HTTP/1.1 100 Continue\r\n\r\n");
    http_client_send(&taking.client, "abc");
    http_client_expect_status(&taking.client, "200 OK");
    http_client_expect_body(&taking.client, "3 bytes");
    finish(&taking);
}

static void test_a_body_that_came_before_it_was_taken_is_not_lost(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    taking.waits = true;
    start(&taking);
    http_client_send(&taking.client, TAKE("10") "01234");
    while (!taking.exchange)
        http_fixture_turn(&taking.fixture, 1);
    http_client_send(&taking.client, "56789");
    http_fixture_turn(&taking.fixture, 10);
    assert_int_equal(taking.body.len, 0);
    take(&taking);
    http_client_expect_status(&taking.client, "200 OK");
    http_client_expect_body(&taking.client, "10 bytes");
    assert_memory_equal(taking.body.data, "0123456789", 10);
    finish(&taking);
}

static void test_a_paused_body_stays_in_the_kernel(void **state)
{
    struct taking taking;
    static char body[200000];

    (void)state;
    memset(body, 'x', sizeof(body));
    begin(&taking);
    taking.pauses_left = 1;
    start(&taking);
    http_client_send(&taking.client, TAKE("200000"));
    http_client_send_bytes(&taking.client, body, sizeof(body));
    while (!taking.pieces)
        http_fixture_turn(&taking.fixture, 1);
    http_fixture_turn(&taking.fixture, 20);
    assert_int_equal(taking.pieces, 1);
    assert_true(taking.body.len <= HTTP_BODY_PIECE_MAX);
    taking.fixture.in_call = true;
    http_body_resume(taking.exchange);
    taking.fixture.in_call = false;
    http_client_expect_status(&taking.client, "200 OK");
    http_client_expect_body(&taking.client, "200000 bytes");
    finish(&taking);
}

static void test_the_handler_may_answer_in_the_middle_of_the_body(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    taking.stops = true;
    start(&taking);
    http_client_send(&taking.client, TAKE("500000") "the first bytes");
    http_client_expect_status(&taking.client, "422 Unprocessable Content");
    http_client_expect(&taking.client, "Connection: close\r\n");
    http_client_expect(&taking.client, "\r\n");
    assert_int_equal(taking.pieces, 1);
    assert_int_equal(taking.fixture.closed, 0);
    finish(&taking);
}

static void expect_refusal(struct taking *taking, const char *status, const char *code)
{
    http_client_expect_status(&taking->client, status);
    http_client_expect(&taking->client, code);
    http_client_expect(&taking->client, "}");
    http_client_expect_end(&taking->client);
    assert_int_equal(taking->fixture.closed, 1);
    assert_int_equal(taking->ends, 0);
    assert_null(taking->exchange);
}

static void test_a_body_that_ends_too_early_is_refused(void **state)
{
    static const char *const cuts[] = {TAKE("10"), TAKE("10") "123456789", TAKE_CHUNKS "5\r\nhello\r\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cuts); i++) {
        struct taking taking;

        begin(&taking);
        start(&taking);
        http_client_send(&taking.client, cuts[i]);
        http_client_half_close(&taking.client);
        expect_refusal(&taking, "400 Bad Request", "\"bad_request\"");
        finish(&taking);
    }
}

static void test_bad_and_long_chunks_are_refused(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    start(&taking);
    http_client_send(&taking.client, TAKE_CHUNKS "5\r\nhelloX");
    expect_refusal(&taking, "400 Bad Request", "\"bad_request\"");
    finish(&taking);

    begin(&taking);
    start(&taking);
    http_client_send(&taking.client, TAKE_CHUNKS "100001\r\n"); /* TAKEN_MAX + 1 */
    expect_refusal(&taking, "413 Content Too Large", "\"body_too_large\"");
    finish(&taking);
}

static void test_lengths_have_the_limit_of_their_route(void **state)
{
    static const struct {
        const char *request;
        int handled;
    } rows[] = {
        {"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 0},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",    0},
        {"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",    0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct taking taking;

        begin(&taking);
        start(&taking);
        http_client_send(&taking.client, rows[i].request);
        http_client_expect_status(&taking.client, "413 Content Too Large");
        http_client_expect(&taking.client, "}");
        http_client_expect_end(&taking.client);
        assert_int_equal(taking.fixture.handled, rows[i].handled);
        finish(&taking);
    }
}

static void test_a_slow_body_is_refused(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    taking.fixture.config.taken_body_timeout_ms = 30;
    taking.fixture.config.body_timeout_ms = 60 * 1000;
    start(&taking);
    http_client_send(&taking.client, TAKE("10") "12");
    wait_for_bytes(&taking, 2);
    http_fixture_wait(&taking.fixture, &taking.fixture.closed, 1);
    expect_refusal(&taking, "408 Request Timeout", "\"request_timeout\"");
    finish(&taking);
}

static void test_a_client_that_goes_away_is_reported(void **state)
{
    struct taking taking;

    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        begin(&taking);
        taking.pauses_left = paused;
        start(&taking);
        http_client_send(&taking.client, TAKE("10") "12");
        wait_for_bytes(&taking, 2);
        http_client_reset(&taking.client);
        if (paused) {
            http_fixture_turn(&taking.fixture, 5);
            if (taking.exchange)
                http_body_resume(taking.exchange);
        }
        http_fixture_wait(&taking.fixture, &taking.fixture.closed, 1);
        assert_null(taking.exchange);
        buf_deinit(&taking.client.received);
        http_fixture_end(&taking.fixture);
        buf_deinit(&taking.body);
    }
}

static void test_the_server_may_end_in_the_middle_of_a_body(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    start(&taking);
    http_client_send(&taking.client, TAKE("10") "12");
    wait_for_bytes(&taking, 2);
    taking.fixture.server = http_server_destroy(taking.fixture.server);
    assert_int_equal(taking.fixture.closed, 1);
    finish(&taking);
}

static void hold(struct http_exchange *exchange, void *arg)
{
    struct taking *taking = arg;

    http_exchange_hold(exchange);
    taking->exchange = exchange;
    http_exchange_on_closed(exchange, on_taker_closed, taking);
}

static void test_a_hook_may_hold_the_request_before_its_body(void **state)
{
    struct taking taking;

    (void)state;
    begin(&taking);
    taking.fixture.config.on_request = hold;
    start(&taking);
    http_client_send(&taking.client, TAKE("10") "12345");
    while (!taking.exchange)
        http_fixture_turn(&taking.fixture, 1);
    http_client_send(&taking.client, "67890");
    http_fixture_turn(&taking.fixture, 10);
    assert_int_equal(taking.fixture.handled, 0);
    http_exchange_resume(taking.exchange);
    http_client_expect_status(&taking.client, "200 OK");
    http_client_expect_body(&taking.client, "10 bytes");
    finish(&taking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_arrives_in_pieces_whatever_its_size),
        cmocka_unit_test(test_the_outcome_does_not_depend_on_how_the_input_is_cut),
        cmocka_unit_test(test_the_handler_may_refuse_before_the_body_is_read),
        cmocka_unit_test(test_continue_is_sent_when_the_body_is_taken),
        cmocka_unit_test(test_a_body_that_came_before_it_was_taken_is_not_lost),
        cmocka_unit_test(test_a_paused_body_stays_in_the_kernel),
        cmocka_unit_test(test_the_handler_may_answer_in_the_middle_of_the_body),
        cmocka_unit_test(test_a_body_that_ends_too_early_is_refused),
        cmocka_unit_test(test_bad_and_long_chunks_are_refused),
        cmocka_unit_test(test_lengths_have_the_limit_of_their_route),
        cmocka_unit_test(test_a_slow_body_is_refused),
        cmocka_unit_test(test_a_client_that_goes_away_is_reported),
        cmocka_unit_test(test_the_server_may_end_in_the_middle_of_a_body),
        cmocka_unit_test(test_a_hook_may_hold_the_request_before_its_body),
    };
    int plain = cmocka_run_group_tests_name("plain", tests, NULL, NULL);

    return plain + cmocka_run_group_tests_name("TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
