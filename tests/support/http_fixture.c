#include "tests/support/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/transport.h"
#include "common/http/address.h"
#include "common/http/tls.h"
#include "tests/support/certificates.h"

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

/* -- TLS for a group of tests */

static struct {
    bool wanted;
    char folder[32], authority[64], pair[64];
    SSL_CTX *clients;
} tls;

static SSL_CTX *create_clients(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    assert_non_null(context);
    assert_int_equal(SSL_CTX_load_verify_locations(context, tls.authority, NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

int http_fixture_begin_tls(void **state)
{
    struct authority *authority;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(tls.folder, sizeof(tls.folder), "/tmp/arkrelay-http-XXXXXX");
    assert_non_null(mkdtemp(tls.folder));
    (void)snprintf(tls.authority, sizeof(tls.authority), "%s/authority.pem", tls.folder);
    (void)snprintf(tls.pair, sizeof(tls.pair), "%s/server.pem", tls.folder);
    authority = authority_create("test authority", tls.authority);
    authority_sign(authority, "DNS:localhost", 3600, tls.pair);
    authority_destroy(authority);
    tls.clients = create_clients();
    tls.wanted = true;
    return 0;
}

const char *http_fixture_authority(void)
{
    return tls.authority;
}

int http_fixture_end_tls(void **state)
{
    (void)state;
    tls.wanted = false;
    SSL_CTX_free(tls.clients);
    (void)unlink(tls.authority);
    (void)unlink(tls.pair);
    return rmdir(tls.folder);
}

/* -- the server */

void http_fixture_init(struct http_fixture *fixture)
{
    *fixture = (struct http_fixture){0};
    http_server_config_init(&fixture->config);
    fixture->config.listen = "127.0.0.1:0";
    fixture->config.routes = routes;
    fixture->config.route_count = ARRAY_LENGTH(routes);
    fixture->config.arg = fixture;
    fixture->config.half_close_text = "probe";
    if (tls.wanted) {
        const char *why = NULL;

        fixture->tls = http_tls_create(tls.pair, tls.pair, &why);
        if (!fixture->tls)
            fail_msg("no certificate: %s", why);
        fixture->config.tls = fixture->tls;
    }
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
    fixture->tls = http_tls_destroy(fixture->tls);
    fixture->loop = loop_destroy(fixture->loop);
}

void http_fixture_turn(struct http_fixture *fixture, int turns)
{
    for (int i = 0; i < turns; i++)
        loop_turn(fixture->loop, false);
}

void http_fixture_wait(struct http_fixture *fixture, const int *counter, int value)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (*counter != value && clock_monotonic_ms() < deadline_ms) {
        (void)poll(NULL, 0, 1); /* lets the server's deadlines expire */
        http_fixture_turn(fixture, 1);
    }
    assert_int_equal(*counter, value);
}

/* -- the clients */

/* The handshake runs in http_client_dial, or with the first bytes. */
static void open_session(struct http_client *client)
{
    client->ssl = SSL_new(tls.clients);
    assert_non_null(client->ssl);
    assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    assert_int_equal(SSL_set1_host(client->ssl, "localhost"), 1);
    SSL_set_connect_state(client->ssl);
}

static void shake_hands(struct http_client *client)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    int answer, error = SSL_ERROR_WANT_READ;

    while (error == SSL_ERROR_WANT_READ && clock_monotonic_ms() < deadline_ms) {
        answer = SSL_do_handshake(client->ssl);
        error = answer == 1 ? SSL_ERROR_NONE : SSL_get_error(client->ssl, answer);
        http_fixture_turn(client->fixture, 1);
    }
    ERR_clear_error();
    client->error = error == SSL_ERROR_NONE ? 0 : EPROTO;
}

static void bind_to(int fd, const char *host)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

void http_client_dial_unseen(struct http_fixture *fixture, struct http_client *client)
{
    struct http_address address;
    const char *why;

    *client = (struct http_client){.fixture = fixture};
    buf_init(&client->received, RECEIVED_MAX);
    assert_int_equal(http_address_parse(http_server_address(fixture->server), &address, &why), 0);
    client->fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    if (fixture->clients_from)
        bind_to(client->fd, fixture->clients_from);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address.storage, address.len), 0);
    if (fixture->tls)
        open_session(client);
}

void http_client_dial(struct http_fixture *fixture, struct http_client *client)
{
    http_client_dial_unseen(fixture, client);
    http_fixture_turn(fixture, 2);
    if (client->ssl)
        shake_hands(client);
}

void http_client_close(struct http_client *client)
{
    SSL_free(client->ssl);
    close(client->fd);
    buf_deinit(&client->received);
    http_fixture_turn(client->fixture, 2);
}

void http_client_reset(struct http_client *client)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    http_client_close(client);
}

void http_client_half_close(struct http_client *client)
{
    if (client->ssl)
        (void)transport_close_notify(client->ssl);
    assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
    http_fixture_turn(client->fixture, 2);
}

static void receive(struct http_client *client)
{
    char chunk[16 * 1024];
    ssize_t n = 1;

    while (n > 0 && !client->ended && !client->error) {
        n = client->ssl ? transport_recv(client->fd, client->ssl, chunk, sizeof(chunk))
                        : recv(client->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n > 0)
            buf_add(&client->received, chunk, (size_t)n);
        else if (n == 0)
            client->ended = true;
        else if (errno != EAGAIN)
            client->error = errno;
    }
    assert_int_equal(buf_error(&client->received), 0);
}

static void pump(struct http_client *client)
{
    struct pollfd socket = {.fd = client->fd, .events = POLLIN};

    http_fixture_turn(client->fixture, 1);
    (void)poll(&socket, 1, 1);
    receive(client);
}

void http_client_send_bytes(struct http_client *client, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = client->ssl ? transport_send(client->fd, client->ssl, bytes, len)
                                : send(client->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN)
            return; /* the server has closed; its answer may still be readable */
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        http_fixture_turn(client->fixture, 1);
    }
}

void http_client_send(struct http_client *client, const char *text)
{
    http_client_send_bytes(client, text, strlen(text));
}

static char *find(struct http_client *client, const char *text)
{
    return client->received.len ? memmem(client->received.data, client->received.len, text, strlen(text)) : NULL;
}

static char *await(struct http_client *client, const char *text)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    char *at;

    receive(client);
    while (!(at = find(client, text)) && !client->ended && !client->error && clock_monotonic_ms() < deadline_ms)
        pump(client);
    if (!at)
        fail_msg("expected \"%s\", ended=%d error=%d, received \"%s\"", text, client->ended, client->error,
                 buf_text(&client->received));
    return at;
}

void http_client_expect(struct http_client *client, const char *text)
{
    const char *at = await(client, text);

    buf_drop_front(&client->received, (size_t)(at - client->received.data) + strlen(text));
}

void http_client_expect_nothing_before(struct http_client *client, const char *text)
{
    const char *at = await(client, text);

    if (at != client->received.data)
        fail_msg("expected \"%s\" at the front of \"%s\"", text, buf_text(&client->received));
    buf_drop_front(&client->received, strlen(text));
}

void http_client_expect_status(struct http_client *client, const char *status)
{
    char line[64];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", status);
    http_client_expect_nothing_before(client, line);
}

void http_client_expect_body(struct http_client *client, const char *body)
{
    http_client_expect(client, "\r\n\r\n");
    http_client_expect_nothing_before(client, body);
}

bool http_client_has_nothing(struct http_client *client)
{
    pump(client);
    return !client->received.len && !client->ended && !client->error;
}

static void await_end(struct http_client *client)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (!client->ended && !client->error && clock_monotonic_ms() < deadline_ms)
        pump(client);
}

void http_client_expect_end(struct http_client *client)
{
    await_end(client);
    assert_int_equal(client->error, 0);
    assert_true(client->ended);
    assert_string_equal(buf_text(&client->received), "");
}

void http_client_expect_reset(struct http_client *client)
{
    await_end(client);
    assert_int_equal(client->error, ECONNRESET);
}

void http_fixture_begin(struct http_fixture *fixture, struct http_client *client)
{
    http_fixture_init(fixture);
    http_fixture_start(fixture);
    http_client_dial(fixture, client);
}

void http_fixture_finish(struct http_fixture *fixture, struct http_client *client)
{
    http_client_close(client);
    http_fixture_end(fixture);
}
