#include "tests/support/stub_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/loop.h"

struct peer {
    LIST_ENTRY(peer) link;
    struct stub_server *server;
    struct bufferevent *bev;
};

static void peer_free(struct peer *peer)
{
    LIST_REMOVE(peer, link);
    bufferevent_free(peer->bev);
    free(peer);
}

static void peer_reset(struct peer *peer)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(bufferevent_getfd(peer->bev), SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    peer_free(peer);
}

static void peer_end(struct peer *peer)
{
    switch (peer->server->ending) {
    case THEN_KEEP:
        break;
    case THEN_CLOSE:
        peer_free(peer);
        break;
    case THEN_RESET:
        peer_reset(peer);
        break;
    }
}

static void on_sent(struct bufferevent *bev, void *arg)
{
    struct peer *peer = arg;

    if (!evbuffer_get_length(bufferevent_get_output(bev)))
        peer_end(peer);
}

static void on_gone(struct bufferevent *bev, short what, void *arg)
{
    struct peer *peer = arg;
    struct stub_server *server = peer->server;

    (void)bev;
    if (what & BEV_EVENT_CONNECTED)
        return; /* the handshake is done */
    peer_free(peer);
    if (server->on_gone)
        server->on_gone(server->arg);
}

static void peer_act(struct peer *peer)
{
    if (!peer->server->answer) {
        peer_end(peer);
        return;
    }
    bufferevent_setcb(peer->bev, NULL, on_sent, on_gone, peer);
    (void)bufferevent_write(peer->bev, peer->server->answer, strlen(peer->server->answer));
}

/* 0 if it is incomplete. */
static size_t request_len(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    const char *length = memmem(text, len, "Content-Length: ", 16);
    size_t whole;

    if (!end)
        return 0;
    whole = (size_t)(end - text) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
    return len >= whole ? whole : 0;
}

static void on_request(struct bufferevent *bev, void *arg)
{
    struct peer *peer = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(input);
    const char *text = (const char *)evbuffer_pullup(input, -1);
    size_t whole = text ? request_len(text, len) : 0;

    if (!whole)
        return;
    if (peer->server->tls)
        peer->server->resumed += SSL_session_reused(bufferevent_openssl_get_ssl(bev));
    if (!peer->server->posts++)
        buf_add(&peer->server->first_request, text, whole);
    (void)evbuffer_drain(input, whole);
    peer_act(peer);
}

static struct bufferevent *wrap(struct stub_server *server, evutil_socket_t fd)
{
    struct event_base *base = loop_base(server->loop);
    SSL *ssl;

    if (!server->tls)
        return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    ssl = SSL_new(server->tls);
    assert_non_null(ssl);
    return bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len, void *arg)
{
    struct stub_server *server = arg;
    struct peer *peer = calloc(1, sizeof(*peer));

    (void)listener;
    (void)address;
    (void)len;
    assert_non_null(peer);
    server->connections++;
    peer->server = server;
    peer->bev = wrap(server, fd);
    assert_non_null(peer->bev);
    LIST_INSERT_HEAD(&server->peers, peer, link);
    bufferevent_setcb(peer->bev, on_request, NULL, on_gone, peer);
    assert_int_equal(bufferevent_enable(peer->bev, EV_READ | EV_WRITE), 0);
    if (server->moment == ON_ACCEPT)
        peer_act(peer);
}

void stub_server_start(struct stub_server *server, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    server->loop = loop;
    buf_init(&server->first_request, 4 << 20);
    LIST_INIT(&server->peers);
    server->listener =
        evconnlistener_new_bind(loop_base(loop), on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 2048,
                                (struct sockaddr *)&address, sizeof(address));
    assert_non_null(server->listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
}

void stub_server_stop(struct stub_server *server)
{
    struct peer *peer;

    while ((peer = LIST_FIRST(&server->peers)))
        peer_free(peer);
    if (server->listener)
        evconnlistener_free(server->listener);
    buf_deinit(&server->first_request);
}
