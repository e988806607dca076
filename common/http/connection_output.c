/* The way out of a connection: its output, and how it ends. */
#include <errno.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/http/connection.h"
#include "common/transport.h"

enum {
    COMPACT_FROM = 64 * 1024, /* bytes */
    DRAIN_READS = 16,         /* in one turn: other connections wait meanwhile */
};

size_t connection_unsent(const struct connection *connection)
{
    return connection->out.len - connection->sent;
}

void connection_drop_output(struct connection *connection)
{
    buf_deinit(&connection->out);
    connection->sent = 0;
}

/* The end of our side, for TLS and then for TCP. False: the first has to wait for the kernel. */
static bool end_output(struct connection *connection)
{
    if (connection->ssl && !transport_close_notify(connection->ssl))
        return false;
    connection_end_session(connection);
    if (shutdown(connection->fd, SHUT_WR))
        connection_close(connection, END_FIN, "gone");
    return true;
}

static uint32_t now_s(void)
{
    return (uint32_t)(clock_monotonic_ms() / 1000);
}

/* A client that keeps sending gets linger_max_ms, unless the server wants to be rid of it. */
static bool may_linger_on(const struct connection *connection)
{
    return !connection->refused && !connection->set->draining && now_s() < connection->linger_end_s;
}

/* Input is discarded unread, so it need not be decrypted. */
void connection_drain(struct connection *connection)
{
    char *chunk = connection->set->chunk;
    ssize_t n = 0;
    int reads = 0;

    if (connection->ssl && (!end_output(connection) || connection->state == CONNECTION_CLOSED))
        return;
    while (reads < DRAIN_READS && (n = recv(connection->fd, chunk, READ_CHUNK, 0)) > 0)
        reads++;
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        connection_close(connection, END_FIN, "done");
        return;
    }
    if (reads && may_linger_on(connection))
        connection_wait_for(connection, WAIT_LINGER);
    if (n > 0)
        connection_read_later(connection);
}

void connection_linger(struct connection *connection, const char *why)
{
    connection_enter(connection, CONNECTION_LINGERING, why);
    connection->linger_end_s = now_s() + (uint32_t)(connection->set->config->linger_max_ms / 1000);
    connection_free_incoming(connection);
    connection_drop_output(connection);
    if (end_output(connection) && connection->state == CONNECTION_LINGERING)
        connection_drain(connection);
}

static void answer_sent(struct connection *connection)
{
    if (connection->close_after || connection->set->draining)
        connection_linger(connection, "last-answer");
    else
        connection_next_request(connection);
}

/* The kernel takes bytes in large pieces only once it was full, so any progress at all is worth a new deadline. */
static void watch_writing(struct connection *connection, bool progress)
{
    if (!connection_is_in(connection, STATE(STREAMING) | STATE(SENDING)))
        return;
    if (!connection_unsent(connection))
        connection_wait_for(connection, WAIT_NONE);
    else if (progress || connection->wait == WAIT_NONE)
        connection_wait_for(connection, WAIT_WRITE);
}

static void compact(struct connection *connection)
{
    if (!connection_unsent(connection)) {
        connection_drop_output(connection);
    } else if (connection->sent > COMPACT_FROM && connection->sent > connection->out.len / 2) {
        buf_drop_front(&connection->out, connection->sent);
        connection->sent = 0;
    }
}

bool connection_send(struct connection *connection)
{
    bool progress = false;
    ssize_t n = 0;

    if (buf_error(&connection->out)) {
        connection_close(connection, END_RST, "no-memory");
        return false;
    }
    while (connection_unsent(connection) && n >= 0) {
        n = transport_send(connection->fd, connection->ssl, connection->out.data + connection->sent,
                           connection_unsent(connection));
        if (n > 0) {
            connection->sent += (uint32_t)n;
            progress = true;
        }
    }
    if (n < 0 && errno != EAGAIN) {
        connection_close(connection, END_FIN, "gone");
        return false;
    }
    compact(connection);
    watch_writing(connection, progress);
    return true;
}

static void tell_room(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    struct http_exchange *exchange = &connection->exchange;

    if (!exchange->wants_room || connection_unsent(connection) > config->output_max)
        return;
    exchange->wants_room = false;
    config->on_room(exchange->closed_arg);
}

void connection_flush(struct connection *connection)
{
    if (!connection_is_in(connection, STATE(BODY) | STATE(STREAMING) | STATE(SENDING)))
        return;
    if (!connection_send(connection))
        return;
    if (connection->state == CONNECTION_SENDING && !connection_unsent(connection))
        answer_sent(connection);
    else if (connection->state == CONNECTION_STREAMING)
        tell_room(connection);
}

void connection_abort(struct connection *connection, enum connection_end how)
{
    if (connection_is_in(connection, STATE(STREAMING) | STATE(SENDING)) && !connection_send(connection))
        return;
    if (how == END_RST)
        connection_close(connection, END_RST, "aborted");
    else
        connection_linger(connection, "aborted");
}

void connection_answered(struct connection *connection)
{
    connection->exchange = (struct http_exchange){0};
    connection_enter(connection, CONNECTION_SENDING, "answered");
    connection_turn_later(connection);
}

void connection_stream(struct connection *connection)
{
    connection_enter(connection, CONNECTION_STREAMING, "stream");
    connection_turn_later(connection);
}
