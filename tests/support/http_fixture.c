#include "tests/support/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http/address.h"
#include "common/loop.h"

enum { DEADLINE_MS = 5000, RECEIVED_MAX = 16 * 1024 * 1024 };

/* -- the routes */

static void on_closed(void *arg)
{
    struct http_fixture *fixture = arg;

    assert_false(fixture->in_call);
    fixture->closed++;
    fixture->exchange = NULL;
}

static void keep(struct http_fixture *fixture, struct http_exchange *exchange)
{
    fixture->handled++;
    fixture->exchange = exchange;
}

static void serve_hello(struct http_exchange *exchange, void *arg)
{
    struct http_fixture *fixture = arg;

    fixture->handled++;
    http_respond(exchange, 200, "text/plain", "hello", 5);
}

static void serve_echo(struct http_exchange *exchange, void *arg)
{
    struct http_fixture *fixture = arg;
    struct http_text body = http_exchange_request(exchange)->body;

    fixture->handled++;
    http_respond(exchange, 200, "text/plain", body.data, body.len);
}

static void serve_item(struct http_exchange *exchange, void *arg)
{
    struct http_text segment = http_exchange_segment(exchange);

    (void)arg;
    http_respond(exchange, 200, "text/plain", segment.data, segment.len);
}

static void serve_later(struct http_exchange *exchange, void *arg)
{
    keep(arg, exchange);
    http_exchange_on_closed(exchange, on_closed, arg);
}

static void serve_deaf(struct http_exchange *exchange, void *arg)
{
    keep(arg, exchange);
}

static void serve_stream(struct http_exchange *exchange, void *arg)
{
    keep(arg, exchange);
    http_exchange_on_closed(exchange, on_closed, arg);
    http_stream_begin(exchange, 200, "text/event-stream");
    http_stream_write(exchange, "first", 5);
}

/* clang-format off */
static const struct http_route routes[] = {
    { HTTP_GET,  "/",           serve_hello },
    { HTTP_POST, "/",           serve_echo },
    { HTTP_GET,  "/items/{id}", serve_item },
    { HTTP_GET,  "/later",      serve_later },
    { HTTP_GET,  "/deaf",       serve_deaf },
    { HTTP_GET,  "/stream",     serve_stream },
};
/* clang-format on */

/* -- the server */

void http_fixture_init(struct http_fixture *fixture)
{
    *fixture = (struct http_fixture){0};
    http_server_config_init(&fixture->config);
    fixture->config.listen = "127.0.0.1:0";
    fixture->config.routes = routes;
    fixture->config.route_count = sizeof(routes) / sizeof(routes[0]);
    fixture->config.arg = fixture;
}

void http_fixture_start(struct http_fixture *fixture)
{
    const char *why = NULL;

    fixture->loop = loop_create();
    assert_non_null(fixture->loop);
    fixture->server = http_server_create(fixture->loop, &fixture->config, &why);
    if (!fixture->server)
        fail_msg("no server: %s", why);
}

void http_fixture_end(struct http_fixture *fixture)
{
    fixture->server = http_server_destroy(fixture->server);
    fixture->loop = loop_destroy(fixture->loop);
}

void http_fixture_turn(struct http_fixture *fixture, int turns)
{
    for (int i = 0; i < turns; i++)
        (void)event_base_loop(loop_base(fixture->loop), EVLOOP_NONBLOCK);
}

void http_fixture_wait(struct http_fixture *fixture, const int *counter, int value)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (*counter != value && clock_monotonic_ms() < deadline_ms) {
        (void)poll(NULL, 0, 1); /* deadlines of the server need time to pass */
        http_fixture_turn(fixture, 1);
    }
    assert_int_equal(*counter, value);
}

/* -- the clients */

void http_peer_dial_unseen(struct http_fixture *fixture, struct http_peer *peer)
{
    struct http_address address;
    const char *why;

    *peer = (struct http_peer){.fixture = fixture};
    buf_init(&peer->received, RECEIVED_MAX);
    assert_int_equal(http_address_parse(http_server_address(fixture->server), &address, &why), 0);
    peer->fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&address.storage, address.len), 0);
}

void http_peer_dial(struct http_fixture *fixture, struct http_peer *peer)
{
    http_peer_dial_unseen(fixture, peer);
    http_fixture_turn(fixture, 2);
}

void http_peer_close(struct http_peer *peer)
{
    close(peer->fd);
    buf_deinit(&peer->received);
    http_fixture_turn(peer->fixture, 2);
}

void http_peer_reset(struct http_peer *peer)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    http_peer_close(peer);
}

void http_peer_half_close(struct http_peer *peer)
{
    assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
    http_fixture_turn(peer->fixture, 2);
}

static void receive(struct http_peer *peer)
{
    char chunk[16 * 1024];
    ssize_t n = 1;

    while (n > 0 && !peer->ended && !peer->error) {
        n = recv(peer->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n > 0)
            buf_add(&peer->received, chunk, (size_t)n);
        else if (n == 0)
            peer->ended = true;
        else if (errno != EAGAIN)
            peer->error = errno;
    }
    assert_int_equal(buf_error(&peer->received), 0);
}

static void pump(struct http_peer *peer)
{
    struct pollfd socket = {.fd = peer->fd, .events = POLLIN};

    http_fixture_turn(peer->fixture, 1);
    (void)poll(&socket, 1, 1);
    receive(peer);
}

void http_peer_send_bytes(struct http_peer *peer, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(peer->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN)
            return; /* the server has closed; what it said is what counts */
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        http_fixture_turn(peer->fixture, 1);
    }
}

void http_peer_send(struct http_peer *peer, const char *text)
{
    http_peer_send_bytes(peer, text, strlen(text));
}

static char *find(struct http_peer *peer, const char *text)
{
    return peer->received.len ? memmem(peer->received.data, peer->received.len, text, strlen(text)) : NULL;
}

static char *await(struct http_peer *peer, const char *text)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    char *at;

    receive(peer);
    while (!(at = find(peer, text)) && !peer->ended && !peer->error && clock_monotonic_ms() < deadline_ms)
        pump(peer);
    if (!at)
        fail_msg("expected \"%s\", ended=%d error=%d, received \"%s\"", text, peer->ended, peer->error,
                 buf_text(&peer->received));
    return at;
}

void http_peer_expect(struct http_peer *peer, const char *text)
{
    const char *at = await(peer, text);

    buf_drop_front(&peer->received, (size_t)(at - peer->received.data) + strlen(text));
}

void http_peer_expect_nothing_before(struct http_peer *peer, const char *text)
{
    const char *at = await(peer, text);

    if (at != peer->received.data)
        fail_msg("expected \"%s\" at the front of \"%s\"", text, buf_text(&peer->received));
    buf_drop_front(&peer->received, strlen(text));
}

bool http_peer_has_nothing(struct http_peer *peer)
{
    pump(peer);
    return !peer->received.len && !peer->ended && !peer->error;
}

static void await_end(struct http_peer *peer)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (!peer->ended && !peer->error && clock_monotonic_ms() < deadline_ms)
        pump(peer);
}

void http_peer_expect_end(struct http_peer *peer)
{
    await_end(peer);
    assert_int_equal(peer->error, 0);
    assert_true(peer->ended);
    assert_string_equal(buf_text(&peer->received), "");
}

void http_peer_expect_reset(struct http_peer *peer)
{
    await_end(peer);
    assert_int_equal(peer->error, ECONNRESET);
}
