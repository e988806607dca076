#include "common/redis/wire.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/loop.h"
#include "common/redis/tls.h"
#include "common/transport.h"

enum { READ_SIZE = 16 * 1024, EARLY_SIZE = 16 * 1024, KEPT_MAX = 64 * 1024, WHY_SIZE = 256 };

struct wire {
    struct loop *loop;
    const struct wire_events *events;
    void *arg;

    int fd; /* -1: closed, and gone at the end of the turn */
    SSL *ssl;
    bool open; /* on_open was called, or need not be */
    struct event *readable, *writable;
    struct buf out;
    struct loop_deferred turn;
    bool turn_waits;
    char in[READ_SIZE]; /* what one receive brings */
};

static void end(struct wire *wire, ssize_t n, int error)
{
    char why[WHY_SIZE];
    bool is_certificate = false;

    (void)snprintf(why, sizeof(why), "%s", n == 0 ? "closed by the server" : strerror(error));
    if (wire->ssl)
        is_certificate = tls_explain(wire->ssl, why, sizeof(why));
    wire->events->on_end(why, is_certificate, wire->arg);
}

static void watch_writing(struct wire *wire)
{
    if (event_add(wire->writable, NULL))
        end(wire, -1, ENOMEM);
}

/* True when bytes came, and the wire is still open. */
static bool receive(struct wire *wire)
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
        end(wire, n, error);
    else if (wire->ssl && SSL_want_write(wire->ssl))
        watch_writing(wire);
    return n > 0 && wire->fd >= 0;
}

void wire_read(struct wire *wire)
{
    while (receive(wire))
        ;
}

/* The last words of a server say more than its closed socket. */
static void hear_out(struct wire *wire, int error)
{
    wire_read(wire);
    if (wire->fd >= 0)
        end(wire, -1, error);
}

/* What the last send said. A session takes 16 KiB at a time: what is left moves to the front once, not after each of them. */
static ssize_t send_some(struct wire *wire)
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

static void flush(struct wire *wire)
{
    ssize_t n = send_some(wire);

    if (n < 0 && errno != EAGAIN)
        hear_out(wire, errno);
    else if (!wire->out.len && wire->out.cap > KEPT_MAX)
        buf_deinit(&wire->out);
    else if (wire->out.len && !(wire->ssl && SSL_want_read(wire->ssl)))
        watch_writing(wire);
}

/* A session may have to write before it can read, and the other way round. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *wire = arg;

    (void)fd;
    (void)what;
    (void)receive(wire);
    if (wire->fd >= 0 && wire->ssl && wire->out.len)
        flush(wire);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *wire = arg;

    (void)fd;
    (void)what;
    if (wire->ssl)
        (void)receive(wire);
    if (wire->fd >= 0)
        flush(wire);
}

static struct wire *discard(struct wire *wire)
{
    if (wire->readable)
        event_free(wire->readable);
    if (wire->writable)
        event_free(wire->writable);
    buf_deinit(&wire->out);
    free(wire);
    return NULL;
}

static void on_turn(void *arg)
{
    struct wire *wire = arg;

    wire->turn_waits = false;
    if (wire->fd < 0)
        (void)discard(wire);
    else if (!wire->open)
        (void)receive(wire);
    else
        flush(wire);
}

static void turn_later(struct wire *wire)
{
    if (wire->turn_waits)
        return;
    wire->turn_waits = true;
    loop_defer(wire->loop, &wire->turn, on_turn, wire);
}

static bool watch(struct wire *wire, int fd)
{
    struct event_base *base = loop_base(wire->loop);

    wire->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, wire);
    wire->writable = event_new(base, fd, EV_WRITE, on_writable, wire);
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
    if (!watch(wire, fd) || (ssl && !SSL_set_fd(ssl, fd)))
        return discard(wire);
    if (ssl) {
        SSL_set_connect_state(ssl);
        turn_later(wire); /* the first word is ours */
    }
    return wire;
}

/* The memory stays until the end of the turn: a callback of ours may be what is calling. */
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
    turn_later(wire);
    return NULL;
}

/* A long turn does not keep the server waiting. Should this send fail, the one at the end of the turn will too, and tell. */
struct buf *wire_output(struct wire *wire)
{
    if (wire->out.len >= EARLY_SIZE && wire->open)
        (void)send_some(wire);
    turn_later(wire);
    return &wire->out;
}
