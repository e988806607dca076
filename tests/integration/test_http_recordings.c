/* Replays recorded requests of real clients. Sent complete, byte by byte and in two pieces, each reaches its handler with a decoded body,
 * and the connection serves the next request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/macros.h"
#include "tests/support/http_fixture.h"
#include "tests/support/recordings.h"

#define API           "/api/v1/faceflip"
#define LAST_EVENT_ID "1700000000000-2"

enum { ROWS_MIN = 150, CUT_EVERY = 31 };

/* -- handlers that return parts of the request, so that the test can compare them */

static void serve_body(struct http_exchange *exchange, void *arg)
{
    struct http_text body = http_exchange_request(exchange)->body;
    char copy[RECORDING_BYTES_MAX]; /* the request's bytes are freed when the stream begins */

    (void)arg;
    assert_true(body.len <= sizeof(copy));
    memcpy(copy, body.data, body.len);
    http_stream_begin(exchange, 200, "text/event-stream");
    http_stream_write(exchange, copy, body.len);
    http_stream_end(exchange);
}

static void serve_last_event_id(struct http_exchange *exchange, void *arg)
{
    struct http_text last = http_request_header(http_exchange_request(exchange), "last-event-id");

    (void)arg;
    http_respond(exchange, 200, "text/plain", last.data, last.len);
}

static void serve_queue(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    http_respond(exchange, 200, "text/plain", "queue", 5);
}

/* clang-format off */
static const struct http_route routes[] = {
    { HTTP_POST, API "/generate/stream",   serve_body },
    { HTTP_GET,  API "/tasks/{id}/stream", serve_last_event_id },
    { HTTP_GET,  API "/queue",             serve_queue },
};
/* clang-format on */

static void begin(struct http_fixture *fixture)
{
    http_fixture_init(fixture);
    fixture->config.routes = routes;
    fixture->config.route_count = ARRAY_LENGTH(routes);
    http_fixture_start(fixture);
}

/* -- replaying */

/* "100 Continue" is sent only if the body had not arrived with the head. */
static void skip_continue(struct http_client *client)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n", line[] = "HTTP/1.1 ";

    http_client_expect_nothing_before(client, line);
    if (strncmp(buf_text(&client->received), interim + sizeof(line) - 1, 3) == 0) {
        http_client_expect_nothing_before(client, interim + sizeof(line) - 1);
        http_client_expect_nothing_before(client, line);
    }
}

static bool is_1_0(const struct recorded_request *request)
{
    const char *end = memchr(request->bytes, '\r', request->head_len);

    return end[-1] == '0';
}

static bool head_has(const struct recorded_request *request, const char *text)
{
    return memmem(request->bytes, request->head_len, text, strlen(text)) != NULL;
}

/* The answer of the handlers above to this request. */
static const char *expected_body(const struct recorded_request *request)
{
    if (request->bytes[0] == 'P')
        return request->decoded;
    if (head_has(request, API "/queue"))
        return "queue";
    return head_has(request, LAST_EVENT_ID) ? LAST_EVENT_ID : "";
}

static void expect_answer(struct http_client *client, const struct recorded_request *request)
{
    skip_continue(client);
    if (strcmp(request->answer, "413") == 0) {
        http_client_expect_nothing_before(client, "413 Content Too Large\r\n");
        http_client_expect(client, "}");
        return;
    }
    http_client_expect_nothing_before(client, "200 OK\r\n");
    http_client_expect(client, "\r\n\r\n");
    if (expected_body(request)[0])
        http_client_expect(client, expected_body(request));
    if (request->bytes[0] == 'P' && !is_1_0(request))
        http_client_expect_nothing_before(client, "\r\n0\r\n\r\n");
}

struct playing {
    struct http_fixture *fixture;
    const struct recording *recording;
};

/* Sends the first `first` bytes at once, then `step` bytes at a time. */
static void play(const struct playing *playing, size_t first, size_t step)
{
    const struct recording *recording = playing->recording;
    struct http_client client;

    http_client_dial(playing->fixture, &client);
    /* Nagle's algorithm would delay each small piece until the previous one is acknowledged, for up to 40 ms. */
    assert_int_equal(setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    http_client_send_bytes(&client, recording->bytes, first);
    for (size_t at = first; at < recording->len; at += step) {
        http_fixture_turn(playing->fixture, 1);
        http_client_send_bytes(&client, recording->bytes + at, at + step < recording->len ? step : recording->len - at);
    }
    for (size_t i = 0; i < recording->count; i++)
        expect_answer(&client, &recording->requests[i]);
    http_client_close(&client);
}

static void check(const struct recording *recording, void *arg)
{
    struct playing playing = {.fixture = arg, .recording = recording};

    play(&playing, recording->len, 1);
    play(&playing, 0, 1);
    for (size_t at = recording->len % CUT_EVERY; at < recording->len; at += CUT_EVERY)
        play(&playing, at, recording->len);
}

static void test_every_recorded_request_is_answered_for_any_cut(void **state)
{
    struct http_fixture fixture;

    (void)state;
    begin(&fixture);
    assert_true(recordings_each(check, &fixture) >= ROWS_MIN);
    assert_int_equal(http_server_connections(fixture.server), 0);
    http_fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_recorded_request_is_answered_for_any_cut),
    };

    return cmocka_run_group_tests_name("plain", tests, NULL, NULL) +
           cmocka_run_group_tests_name("over TLS", tests, http_fixture_begin_tls, http_fixture_end_tls);
}
