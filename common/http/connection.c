#include "common/http/connection.h"

#include <assert.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http/peers.h"
#include "common/log.h"
#include "common/transport.h"

enum {
    CROWD = 128,
    OUT_MAX = 1024 * 1024 * 1024 /* answers have their handlers' maximum, streams output_max */
};

/* clang-format off */
static const struct {
    const char *name;
    enum connection_wait wait;
    unsigned next; /* besides CLOSED, which is open to all */
} states[CONNECTION_STATE_COUNT] = {
    [CONNECTION_HEAD]      = { "head",      WAIT_HEAD,   STATE(IDLE) | STATE(BODY) | STATE(HANDLING) | STATE(SENDING) },
    [CONNECTION_IDLE]      = { "idle",      WAIT_IDLE,   STATE(HEAD) },
    [CONNECTION_BODY]      = { "body",      WAIT_BODY,   STATE(HANDLING) | STATE(SENDING) },
    [CONNECTION_HANDLING]  = { "handling",  WAIT_NONE,   STATE(STREAMING) | STATE(SENDING) | STATE(LINGERING) },
    [CONNECTION_STREAMING] = { "streaming", WAIT_NONE,   STATE(SENDING) | STATE(LINGERING) },
    [CONNECTION_SENDING]   = { "sending",   WAIT_WRITE,  STATE(IDLE) | STATE(LINGERING) },
    [CONNECTION_LINGERING] = { "lingering", WAIT_LINGER, 0 },
    [CONNECTION_CLOSED]    = { "closed",    WAIT_NONE,   0 },
};
/* clang-format on */

void connection_wait_for(struct connection *connection, enum connection_wait wait)
{
    struct timeouts **waits = connection->set->waits;

    if (connection->wait != WAIT_NONE)
        timeouts_cancel(waits[connection->wait], &connection->timeout);
    connection->wait = (uint8_t)wait;
    if (wait != WAIT_NONE)
        timeouts_start(waits[wait], &connection->timeout);
}

void connection_enter(struct connection *connection, enum connection_state next, const char *why)
{
    assert(next == CONNECTION_CLOSED || (states[connection->state].next & (1u << next)));
    log_debug("http", "connection", "fd=%d from=%s to=%s why=%s", connection->fd, states[connection->state].name,
              states[next].name, why);
    connection->state = (uint8_t)next;
    connection_wait_for(connection, states[next].wait);
}

bool connection_is_in(const struct connection *connection, unsigned some_states)
{
    return 1u << connection->state & some_states;
}

static void on_turn(void *arg);

void connection_turn_later(struct connection *connection)
{
    if (connection->turn_waits)
        return;
    connection->turn_waits = true;
    loop_defer(connection->set->loop, &connection->turn, on_turn, connection);
}

void connection_end_session(struct connection *connection)
{
    SSL_free(connection->ssl);
    connection->ssl = NULL;
}

static void tell_count(const struct connection_set *set)
{
    if (set->config->on_connections)
        set->config->on_connections(set->count, set->config->arg);
}

/* What counts connections forgets this one. */
static void uncount(struct connection *connection)
{
    struct connection_set *set = connection->set;

    set->count--;
    tell_count(set);
    if (connection->refused)
        set->refused--;
    if (connection->peer)
        http_peers_leave(set->config->peers, connection->peer);
}

void connection_close(struct connection *connection, enum connection_end how, const char *why)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (connection->state == CONNECTION_CLOSED)
        return;
    connection_enter(connection, CONNECTION_CLOSED, why);
    event_del(&connection->event);
    if (connection->ssl && how == END_FIN)
        (void)transport_close_notify(connection->ssl); /* if the kernel takes it at once */
    connection_end_session(connection);
    if (how == END_RST)
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(connection->fd);
    connection->fd = -1;
    connection_drop_output(connection);
    uncount(connection);
    connection_turn_later(connection);
}

/* Tells a handler that its exchange is over. False: it has not asked to be told, so it will still come back. */
static bool release_exchange(struct connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;

    if (!exchange->open)
        return true;
    if (!exchange->on_closed)
        return false;
    exchange->open = false;
    exchange->on_closed(exchange->closed_arg);
    return true;
}

static void bury(struct connection *connection)
{
    connection_free_incoming(connection);
    free(connection);
}

/* -- what the loop tells */

/* What poll(2) says about the socket, without an event for bytes alone. A session may hold bytes that the socket does not show, so a
 * connection with one never counts as silent. */
static int look(struct connection *connection)
{
    struct pollfd socket = {.fd = connection->fd, .events = POLLIN | POLLRDHUP};
    int ready = poll(&socket, 1, 0);

    connection->silent = !ready && !connection->ssl;
    return ready > 0 ? socket.revents : 0;
}

/* Bytes stay in the session, so an end behind them is not seen yet. */
static bool has_session_ended(const struct connection *connection)
{
    ssize_t n = connection->ssl ? transport_peek(connection->ssl) : 1;

    return !n || (n < 0 && errno != EAGAIN);
}

/* While an answer is under way. A FIN alone does not end it, but on an open stream it is reported once. */
static void check_client(struct connection *connection)
{
    int gone = POLLERR | POLLHUP | (connection->set->config->half_close_is_gone ? POLLRDHUP : 0);
    int ready = look(connection);
    bool streams = connection->state == CONNECTION_STREAMING;

    if (ready & gone || (streams && has_session_ended(connection))) {
        connection_close(connection, END_FIN, "gone");
    } else if (streams && ready & POLLRDHUP && !connection->half_closed) {
        connection->half_closed = true;
        connection->set->on_half_closed(connection);
    }
}

/* The request of a stream is over: an open stream holds only what it needs. */
static void settle_stream(struct connection *connection)
{
    if (!connection->incoming || !connection->incoming->end)
        return;
    connection_keep_ahead(connection);
    if (!connection->silent)
        check_client(connection);
}

static void settle_closed(struct connection *connection)
{
    struct connection_set *set = connection->set;

    if (connection->exchange.open && !connection->exchange.on_closed)
        return; /* the handler answers some day, and ends it there */
    TAILQ_REMOVE(&set->all, connection, link);
    (void)release_exchange(connection);
    bury(connection);
}

static void on_turn(void *arg)
{
    struct connection *connection = arg;

    connection->turn_waits = false;
    if (connection->state == CONNECTION_STREAMING && connection->exchange.head_only && release_exchange(connection))
        connection_answered(connection);
    if (connection->state == CONNECTION_STREAMING)
        settle_stream(connection);
    connection_flush(connection);
    if (connection->state == CONNECTION_CLOSED && !connection->turn_waits)
        settle_closed(connection);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    struct connection_set *set = connection->set;

    (void)fd;
    connection->burst = 0;
    connection->silent = false;
    switch ((enum connection_state)connection->state) {
    case CONNECTION_HEAD:
    case CONNECTION_IDLE:
    case CONNECTION_BODY:
        connection_read(connection);
        if (connection->state == CONNECTION_HANDLING)
            check_client(connection); /* what came together with the request is not reported again */
        break;
    case CONNECTION_HANDLING:
    case CONNECTION_STREAMING:
        check_client(connection);
        break;
    case CONNECTION_LINGERING:
        connection_drain(connection);
        break;
    case CONNECTION_SENDING:
    case CONNECTION_CLOSED:
    case CONNECTION_STATE_COUNT:
        break;
    }
    if (what & EV_WRITE || connection->ssl) /* a session that writes may have to read first */
        connection_flush(connection);
    if (++set->events == CROWD) {
        set->events = 0;
        set->on_crowd(set);
    }
}

static void on_timeout(struct timeout *timeout, void *arg)
{
    struct connection *connection = container_of(timeout, struct connection, timeout);

    (void)arg;
    connection->wait = WAIT_NONE;
    switch ((enum connection_state)connection->state) {
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        if (connection->incoming)
            connection_refuse(connection, PROBLEM_REQUEST_TIMEOUT, NULL);
        else
            connection_close(connection, END_FIN, "silent");
        break;
    case CONNECTION_STREAMING:
    case CONNECTION_SENDING:
        connection_close(connection, END_RST, "stalled");
        break;
    case CONNECTION_IDLE:
    case CONNECTION_HANDLING:
    case CONNECTION_LINGERING:
    case CONNECTION_CLOSED:
    case CONNECTION_STATE_COUNT:
        connection_close(connection, END_FIN, "time-is-up");
        break;
    }
}

/* -- the set */

static bool begin(struct connection *connection, struct connection_set *set, int fd)
{
    short what = EV_READ | EV_WRITE | EV_ET | EV_PERSIST;

    return !event_assign(&connection->event, loop_base(set->loop), fd, what, on_event, connection) &&
           !event_add(&connection->event, NULL);
}

struct connection *connection_create(struct connection_set *set, int fd, uint32_t peer)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection || !begin(connection, set, fd)) {
        free(connection);
        close(fd);
        if (peer)
            http_peers_leave(set->config->peers, peer);
        return NULL;
    }
    connection->set = set;
    connection->fd = fd;
    connection->peer = peer;
    connection->state = CONNECTION_HEAD;
    buf_init(&connection->out, OUT_MAX);
    TAILQ_INSERT_TAIL(&set->all, connection, link);
    set->count++;
    tell_count(set);
    connection_wait_for(connection, WAIT_HEAD);
    return connection;
}

int connection_set_init(struct connection_set *set, struct loop *loop, const struct http_server_config *config)
{
    const int64_t times_ms[WAIT_COUNT] = {
        [WAIT_HEAD] = config->head_timeout_ms,     [WAIT_BODY] = config->body_timeout_ms,
        [WAIT_IDLE] = config->idle_timeout_ms,     [WAIT_WRITE] = config->write_timeout_ms,
        [WAIT_LINGER] = config->linger_timeout_ms,
    };

    set->loop = loop;
    set->config = config;
    TAILQ_INIT(&set->all);
    for (int i = WAIT_NONE + 1; i < WAIT_COUNT; i++) {
        set->waits[i] = timeouts_create(loop, times_ms[i], on_timeout, set);
        if (!set->waits[i])
            return ERR_NO_MEMORY;
    }
    return 0;
}

/* The turn of a connection that waits in the loop's list touches nothing but the connection itself. */
static void on_last_turn(void *arg)
{
    bury(arg);
}

void connection_set_deinit(struct connection_set *set)
{
    struct connection *connection;

    while ((connection = TAILQ_FIRST(&set->all))) {
        connection_close(connection, END_FIN, "server-ends");
        TAILQ_REMOVE(&set->all, connection, link);
        (void)release_exchange(connection);
        connection_turn_later(connection);
        connection->turn.fn = on_last_turn;
    }
    for (int i = WAIT_NONE + 1; i < WAIT_COUNT; i++)
        set->waits[i] = timeouts_destroy(set->waits[i]);
}

void connection_set_drain(struct connection_set *set)
{
    struct connection *connection, *next;

    set->draining = true;
    for (connection = TAILQ_FIRST(&set->all); connection; connection = next) {
        next = TAILQ_NEXT(connection, link);
        connection_read(connection); /* closing on a request that has come would be a reset */
        if (connection_is_in(connection, STATE(IDLE) | STATE(HEAD)) && !connection->incoming)
            connection_close(connection, END_FIN, "draining");
    }
}
