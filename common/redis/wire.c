#include "common/redis/wire.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/loop.h"
#include "common/base/transport.h"
#include "common/redis/tls.h"

enum { READ_SIZE = 16 * 1024, EARLY_SIZE = 16 * 1024, KEPT_MAX = 64 * 1024, WHY_SIZE = 256 };

struct wire {
    struct loop *loop;
    const struct wire_events *events;
    void *arg;

    int fd; /* -1: closed; the memory is freed at the end of the turn */
    SSL *ssl;
    bool open; /* plain, or the TLS handshake is complete */
    struct event *readable, *writable;
    struct buf out;
    struct loop_deferred turn;
    bool deferred; /* `turn` is in the loop's list */
    char in[READ_SIZE];
};

static void wire_end(struct wire *wire, ssize_t n, int error)
{
    char why[WHY_SIZE];
    bool is_certificate = false;

    (void)snprintf(why, sizeof(why), "%s", n == 0 ? "closed by the server" : strerror(error));
    if (wire->ssl)
        is_certificate = tls_explain(wire->ssl, why, sizeof(why));
    wire->events->on_end(why, is_certificate, wire->arg);
}

static void wire_watch_writing(struct wire *wire)
{
    if (event_add(wire->writable, NULL))
        wire_end(wire, -1, ENOMEM);
}

/* True if bytes were read and the wire is still open. */
static bool wire_receive(struct wire *wire)
{
    ssize_t n;
    int error;

    do {
        n = transport_recv(wire->fd, wire->ssl, wire->in, sizeof(wire->in));
        error = errno;
        if (!wire->open && SSL_is_init_finished(wire->ssl)) {
            wire->open = true;
            wire->events->on_open(wire->arg);
        }
        if (n > 0 && wire->fd >= 0)
            wire->events->on_bytes(wire->in, (size_t)n, wire->arg);
    } while (n > 0 && wire->fd >= 0 && wire->ssl && SSL_pending(wire->ssl));
    if (wire->fd < 0)
        return false;
    if (n == 0 || (n < 0 && error != EAGAIN))
        wire_end(wire, n, error);
    else if (wire->ssl && SSL_want_write(wire->ssl))
        wire_watch_writing(wire);
    return n > 0 && wire->fd >= 0;
}

void wire_read(struct wire *wire)
{
    while (wire_receive(wire))
        ;
}

/* Read before reporting a send error: the server may have sent a reason, such as "max number of clients". */
static void wire_read_rest(struct wire *wire, int error)
{
    wire_read(wire);
    if (wire->fd >= 0)
        wire_end(wire, -1, error);
}

/* Returns the result of the last send. TLS takes 16 KiB at a time; the rest moves to the front of the buffer once, not after each
 * piece, which would be quadratic. */
static ssize_t wire_send(struct wire *wire)
{
    size_t sent = 0;
    ssize_t n = 1;

    while (sent < wire->out.len && n > 0) {
        n = transport_send(wire->fd, wire->ssl, wire->out.data + sent, wire->out.len - sent);
        if (n > 0)
            sent += (size_t)n;
    }
    buf_drop_front(&wire->out, sent);
    return n;
}

static void wire_flush(struct wire *wire)
{
    ssize_t n = wire_send(wire);

    if (n < 0 && errno != EAGAIN)
        wire_read_rest(wire, errno);
    else if (!wire->out.len && wire->out.cap > KEPT_MAX)
        buf_deinit(&wire->out);
    else if (wire->out.len && !(wire->ssl && SSL_want_read(wire->ssl)))
        wire_watch_writing(wire);
}

/* TLS may have to read before it can write, and to write before it can read. */
static void wire_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *wire = arg;

    (void)fd;
    (void)what;
    (void)wire_receive(wire);
    if (wire->fd >= 0 && wire->ssl && wire->out.len)
        wire_flush(wire);
}

static void wire_on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *wire = arg;

    (void)fd;
    (void)what;
    if (wire->ssl)
        (void)wire_receive(wire);
    if (wire->fd >= 0)
        wire_flush(wire);
}

static struct wire *wire_free(struct wire *wire)
{
    if (wire->readable)
        event_free(wire->readable);
    if (wire->writable)
        event_free(wire->writable);
    buf_deinit(&wire->out);
    free(wire);
    return NULL;
}

static void wire_on_turn(void *arg)
{
    struct wire *wire = arg;

    wire->deferred = false;
    if (wire->fd < 0)
        (void)wire_free(wire);
    else if (!wire->open)
        (void)wire_receive(wire);
    else
        wire_flush(wire);
}

static void wire_defer(struct wire *wire)
{
    if (wire->deferred)
        return;
    wire->deferred = true;
    loop_defer(wire->loop, &wire->turn, wire_on_turn, wire);
}

static bool wire_watch(struct wire *wire, int fd)
{
    struct event_base *base = loop_base(wire->loop);

    wire->readable = event_new(base, fd, EV_READ | EV_PERSIST, wire_on_readable, wire);
    wire->writable = event_new(base, fd, EV_WRITE, wire_on_writable, wire);
    return wire->readable && wire->writable && !event_add(wire->readable, NULL);
}

struct wire *wire_open(struct loop *loop, int fd, struct ssl_st *ssl, size_t output_max,
                       const struct wire_events *events, void *arg)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    if (!wire)
        return NULL;
    wire->loop = loop;
    wire->events = events;
    wire->arg = arg;
    wire->fd = fd;
    wire->ssl = ssl;
    wire->open = !ssl;
    buf_init(&wire->out, output_max);
    if (!wire_watch(wire, fd) || (ssl && !SSL_set_fd(ssl, fd)))
        return wire_free(wire);
    if (ssl) {
        SSL_set_connect_state(ssl);
        wire_defer(wire); /* the client sends the first TLS message */
    }
    return wire;
}

/* The memory stays valid until the end of the turn: the caller may be one of the wire's callbacks. */
struct wire *wire_close(struct wire *wire)
{
    if (!wire)
        return NULL;
    event_del(wire->readable);
    event_del(wire->writable);
    SSL_free(wire->ssl);
    wire->ssl = NULL;
    close(wire->fd);
    wire->fd = -1;
    wire_defer(wire);
    return NULL;
}

/* Sends early in a long turn, so that the server can begin. The error of this send is ignored: the send at the end of the turn
 * fails too and reports it. */
struct buf *wire_output(struct wire *wire)
{
    if (wire->out.len >= EARLY_SIZE && wire->open)
        (void)wire_send(wire);
    wire_defer(wire);
    return &wire->out;
}
