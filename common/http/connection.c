#include "common/http/connection.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/transport.h"
#include "common/http/address_limit.h"
#include "common/http/tls.h"

enum {
    MANY_EVENTS = 128,
    REQUESTS_PER_TURN = 16, /* of one connection, before other connections get their turn */
    DRAIN_READS = 16,       /* the same, for reads of discarded input */
    REFUSED_HEAD_READS = 4, /* of HEAD_CHUNK bytes */
    DELIVERY_MS = 2000,     /* how long a reset after an answer means that the client has not read all of it */
};

/* -- states and deadlines */

#define STATE(name) (1u << CONNECTION_##name)

_Static_assert((int)HTTP_BODY_PIECE_MAX == (int)READ_CHUNK, "a handler gets each read of the socket as one piece");

/* clang-format off */
static const struct {
    const char *name;
    enum connection_deadline deadline;
    unsigned next; /* besides CLOSED, which every state may enter */
} states[CONNECTION_STATE_COUNT] = {
    [CONNECTION_HEAD]      = { "head",      DEADLINE_HEAD,   STATE(IDLE) | STATE(BODY) | STATE(HANDLING) | STATE(SENDING) },
    [CONNECTION_IDLE]      = { "idle",      DEADLINE_IDLE,   STATE(HEAD) },
    [CONNECTION_BODY]      = { "body",      DEADLINE_BODY,   STATE(HANDLING) | STATE(STREAMING) | STATE(SENDING) | STATE(LINGERING) },
    [CONNECTION_HANDLING]  = { "handling",  DEADLINE_NONE,   STATE(BODY) | STATE(STREAMING) | STATE(SENDING) | STATE(LINGERING) },
    [CONNECTION_STREAMING] = { "streaming", DEADLINE_NONE,   STATE(SENDING) | STATE(LINGERING) },
    [CONNECTION_SENDING]   = { "sending",   DEADLINE_WRITE,  STATE(IDLE) | STATE(LINGERING) },
    [CONNECTION_LINGERING] = { "lingering", DEADLINE_LINGER, 0 },
    [CONNECTION_CLOSED]    = { "closed",    DEADLINE_NONE,   0 },
};
/* clang-format on */

static void connection_set_deadline(struct connection *connection, enum connection_deadline deadline)
{
    struct timeouts **deadlines = connection->set->deadlines;

    if (connection->deadline != DEADLINE_NONE)
        timeouts_cancel(deadlines[connection->deadline], &connection->timeout);
    connection->deadline = (uint8_t)deadline;
    if (deadline != DEADLINE_NONE)
        timeouts_start(deadlines[deadline], &connection->timeout);
}

static void connection_enter(struct connection *connection, enum connection_state next, const char *why)
{
    assert(next == CONNECTION_CLOSED || (states[connection->state].next & (1u << next)));
    log_debug("http", "connection", "fd=%d from=%s to=%s why=%s", connection->fd, states[connection->state].name,
              states[next].name, why);
    connection->state = (uint8_t)next;
    connection_set_deadline(connection, states[next].deadline);
}

static bool connection_is_in(const struct connection *connection, unsigned some_states)
{
    return 1u << connection->state & some_states;
}

static void connection_on_turn_end(void *arg);

void connection_schedule_turn_end(struct connection *connection)
{
    if (connection->turn_end_scheduled)
        return;
    connection->turn_end_scheduled = true;
    loop_defer(connection->set->loop, &connection->turn_end, connection_on_turn_end, connection);
}

/* Makes the loop report again what the socket is ready for, after the other events that are due. */
static void connection_rearm_event(struct connection *connection)
{
    if (event_del(&connection->event) || event_add(&connection->event, NULL))
        connection_close(connection, END_RST, "no-memory");
}

/* -- counters and buffers */

static void report_count(const struct connection_set *set)
{
    if (set->config->on_connections)
        set->config->on_connections(set->count, set->config->arg);
}

static void remove_from_counters(struct connection *connection)
{
    struct connection_set *set = connection->set;

    set->count--;
    report_count(set);
    if (connection->over_limit)
        set->over_limit_count--;
    if (connection->address_entry)
        http_address_limit_release(set->config->address_limit, connection->address_entry);
}

/* What follows on the socket is not encrypted. */
static void end_tls_session(struct connection *connection)
{
    SSL_free(connection->ssl);
    connection->ssl = NULL;
}

/* -- was the answer received? */

static bool is_acknowledged(const struct connection *connection)
{
    int unacknowledged = 0;

    return !connection_unsent(connection) && !ioctl(connection->fd, SIOCOUTQ, &unacknowledged) && !unacknowledged;
}

static void end_delivery(struct connection *connection, bool whole)
{
    struct delivery *delivery = connection->delivery;

    if (!delivery)
        return;
    connection->delivery = NULL;
    timeouts_cancel(connection->set->deliveries, &delivery->timer);
    delivery->done(whole, delivery->arg);
    free(delivery);
}

/* A client that closes before it has read all bytes resets the connection, even if its kernel has acknowledged them. */
static void delivery_on_timeout(struct timeout *timer, void *arg)
{
    struct delivery *delivery = container_of(timer, struct delivery, timer);

    (void)arg;
    if (is_acknowledged(delivery->connection))
        end_delivery(delivery->connection, true);
    else
        timeouts_start(delivery->connection->set->deliveries, timer);
}

void connection_watch_delivery(struct connection *connection, void (*done)(bool whole, void *arg), void *arg)
{
    struct delivery *delivery = connection->state == CONNECTION_CLOSED ? NULL : calloc(1, sizeof(*delivery));

    end_delivery(connection, is_acknowledged(connection));
    if (!delivery) {
        done(false, arg);
        return;
    }
    *delivery = (struct delivery){.done = done, .arg = arg, .connection = connection};
    connection->delivery = delivery;
}

/* -- closing */

void connection_close(struct connection *connection, enum connection_end how, const char *why)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if (connection->state == CONNECTION_CLOSED)
        return;
    end_delivery(connection,
                 !connection->exchange.open && how == END_FIN && !connection->failed && is_acknowledged(connection));
    connection_enter(connection, CONNECTION_CLOSED, why);
    event_del(&connection->event);
    if (connection->ssl && how == END_FIN)
        (void)transport_close_notify(connection->ssl); /* best effort: there is no second try */
    end_tls_session(connection);
    if (how == END_RST)
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(connection->fd);
    connection->fd = -1;
    http_output_deinit(&connection->output);
    remove_from_counters(connection);
    connection_schedule_turn_end(connection);
}

static void close_failed(struct connection *connection)
{
    connection->failed = true;
    connection_close(connection, END_FIN, "failed");
}

/* -- input: bytes become a request */

static const struct http_limits *limits_of(const struct connection *connection)
{
    return &connection->set->config->limits;
}

static bool create_incoming(struct connection *connection)
{
    connection->incoming = incoming_create(limits_of(connection));
    if (connection->incoming)
        connection->incoming->parser.empty_line_skipped = connection->empty_line_ignored;
    return connection->incoming;
}

static void free_incoming(struct connection *connection)
{
    connection->incoming = incoming_destroy(connection->incoming);
}

/* Keeps only the bytes of later requests. Out of memory, these bytes are lost, so the current answer must be the last one. */
static void free_current_request(struct connection *connection)
{
    struct incoming_request *rest = NULL;

    if (incoming_copy_rest(connection->incoming, limits_of(connection), &rest))
        connection->close_after_answer = true;
    free_incoming(connection);
    connection->incoming = rest;
}

/* Reports to the handler that its exchange has ended. False: the handler has not set on_closed, and will still answer. */
static bool report_closed(struct connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;

    if (!exchange->open)
        return true;
    if (!exchange->on_closed)
        return false;
    exchange->open = false;
    exchange->on_closed(exchange->handler_arg);
    return true;
}

/* A handler may have the exchange only while it takes the body. */
void connection_refuse(struct connection *connection, enum problem problem, const char *detail)
{
    (void)report_closed(connection);
    if (!connection->incoming && !create_incoming(connection)) {
        connection_close(connection, END_RST, "no-memory");
        return;
    }
    connection->close_after_answer = true;
    connection->set->on_refused(connection, problem, detail);
}

static void begin_exchange(struct connection *connection)
{
    const struct http_request *request = &connection->incoming->request;

    if (!request->keep_alive)
        connection->close_after_answer = true;
    connection->empty_line_ignored = false;
    if (connection->delivery && is_acknowledged(connection)) /* of the answer before */
        end_delivery(connection, true);
    connection->exchange = (struct http_exchange){.open = true, .head_only = request->method == HTTP_HEAD};
    connection->socket_is_empty = false;
    connection_enter(connection, CONNECTION_HANDLING, "request");
    connection->set->on_request(connection);
}

static void handle_request(struct connection *connection)
{
    struct incoming_request *incoming = connection->incoming;

    incoming->request.body = (struct http_text){incoming->input.data + incoming->head_len, incoming->body_len};
    incoming->end = incoming->head_len + incoming->body_len;
    begin_exchange(connection);
}

static void refuse_chunks(struct connection *connection)
{
    const struct http_chunked *chunked = &connection->incoming->chunked;

    connection_refuse(connection, chunked->problem, chunked->detail);
}

static const struct http_route *find_route(const struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    const struct http_request *request = &connection->incoming->request;
    struct http_route_table table = {config->routes, config->route_count};

    return http_route_find(table, request->method, request->path).route;
}

/* Does the handler of this request take its body? */
static bool has_body_taker(const struct connection *connection)
{
    http_handler_fn *const *taker = connection->set->config->body_takers;
    const struct http_route *route = taker && *taker ? find_route(connection) : NULL;

    while (route && *taker && *taker != route->handler)
        taker++;
    return route && *taker;
}

static void send_continue(struct connection *connection)
{
    buf_add_text(&connection->output.bytes, "HTTP/1.1 100 Continue\r\n\r\n");
    connection_schedule_turn_end(connection);
}

/* A request without a route is answered at once: its body is not read and gets no "100 Continue", so the connection must close. */
static void begin_body(struct connection *connection, bool has_begun)
{
    if (!find_route(connection)) {
        connection->incoming->body_len = 0;
        connection->close_after_answer = true;
        handle_request(connection);
        return;
    }
    connection_enter(connection, CONNECTION_BODY, "head");
    if (connection->incoming->request.expect_continue && !has_begun)
        send_continue(connection);
}

static void parse_after_head(struct connection *connection)
{
    struct incoming_request *incoming = connection->incoming;
    bool has_begun = incoming->input.len > incoming->head_len;

    incoming_begin_head(incoming);
    if (has_body_taker(connection)) {
        begin_exchange(connection);
        return;
    }
    if (incoming->request.content_length > limits_of(connection)->body_max) {
        connection_refuse(connection, PROBLEM_BODY_TOO_LARGE, NULL);
        return;
    }
    switch (incoming_begin_body(incoming, limits_of(connection))) {
    case HTTP_PARSE_MORE:
        begin_body(connection, has_begun);
        break;
    case HTTP_PARSE_DONE:
        handle_request(connection);
        break;
    case HTTP_PARSE_FAILED:
        refuse_chunks(connection);
        break;
    }
}

static void parse_more_body(struct connection *connection)
{
    switch (incoming_parse_body(connection->incoming)) {
    case HTTP_PARSE_MORE:
        break;
    case HTTP_PARSE_DONE:
        handle_request(connection);
        break;
    case HTTP_PARSE_FAILED:
        refuse_chunks(connection);
        break;
    }
}

/* An empty line after an answer does not begin a request, so the connection stays idle. A second one is refused, whether or not it
 * arrives together with the first. */
static void ignore_empty_line(struct connection *connection)
{
    if (!connection->answered_before || !http_parser_has_only_empty_line(&connection->incoming->parser))
        return;
    connection->empty_line_ignored = true;
    free_incoming(connection);
    connection_enter(connection, CONNECTION_IDLE, "empty-line");
}

/* on_refusal may need a header that comes after the error. Clients send a head in one piece, so the rest has arrived. */
static void read_rest_of_refused_head(struct connection *connection)
{
    struct buf *input = &connection->incoming->input;
    char *chunk = connection->set->read_buf;

    for (int i = 0; connection->set->config->on_refusal && i < REFUSED_HEAD_READS; i++) {
        ssize_t n = transport_recv(connection->fd, connection->ssl, chunk, HEAD_CHUNK);

        if (n <= 0 || (size_t)n > input->max - input->len)
            return;
        buf_add(input, chunk, (size_t)n);
    }
}

static void parse_input(struct connection *connection)
{
    struct incoming_request *incoming = connection->incoming;

    if (connection->state == CONNECTION_BODY) {
        parse_more_body(connection);
        return;
    }
    switch (http_parser_run(&incoming->parser, incoming->input.data, incoming->input.len, &incoming->head_len)) {
    case HTTP_PARSE_MORE:
        ignore_empty_line(connection);
        break;
    case HTTP_PARSE_DONE:
        parse_after_head(connection);
        break;
    case HTTP_PARSE_FAILED:
        read_rest_of_refused_head(connection);
        connection_refuse(connection, incoming->parser.problem, incoming->parser.detail);
        break;
    }
}

static void add_input(struct connection *connection, const char *bytes, size_t len)
{
    if (!connection->incoming && !create_incoming(connection)) {
        connection_close(connection, END_RST, "no-memory");
        return;
    }
    if (connection->state == CONNECTION_IDLE)
        connection_enter(connection, CONNECTION_HEAD, "bytes");
    buf_add(&connection->incoming->input, bytes, len);
    if (buf_error(&connection->incoming->input))
        connection_close(connection, END_RST, "no-memory");
    else
        parse_input(connection);
}

/* -- a body that the handler takes */

static bool takes_body(const struct connection *connection)
{
    return connection->state == CONNECTION_BODY && connection->incoming->is_taken;
}

void connection_take_body(struct connection *connection, int64_t body_max)
{
    struct incoming_request *incoming = connection->incoming;

    if (connection->state == CONNECTION_CLOSED)
        return;
    incoming_begin_taking(incoming, body_max);
    connection_enter(connection, CONNECTION_BODY, "taken");
    connection_set_deadline(connection, DEADLINE_TAKEN_BODY);
    if (incoming->request.expect_continue && incoming->input.len == incoming->head_len)
        send_continue(connection);
    connection_schedule_turn_end(connection);
}

static void end_taken_body(struct connection *connection)
{
    incoming_end_body(connection->incoming);
    connection_enter(connection, CONNECTION_HANDLING, "body");
    connection->socket_is_empty = false;
    connection->incoming->sink.on_end(connection->exchange.handler_arg);
}

/* The handler may answer in on_bytes. Then the rest of the body is not read. */
static void give_body(struct connection *connection, char *bytes, size_t len)
{
    struct incoming_request *incoming = connection->incoming;
    size_t content = 0;
    enum http_parse parse = incoming_decode(incoming, bytes, len, &content);

    if (buf_error(&incoming->input)) {
        connection_close(connection, END_RST, "no-memory");
        return;
    }
    if (content)
        incoming->sink.on_bytes(bytes, content, connection->exchange.handler_arg);
    if (!takes_body(connection))
        return;
    if (parse == HTTP_PARSE_FAILED)
        refuse_chunks(connection);
    else if (parse == HTTP_PARSE_DONE)
        end_taken_body(connection);
}

/* -- reading */

/* Limits how much of later requests is read: at most HEAD_CHUNK after a head. */
static size_t next_read_size(const struct connection *connection)
{
    return connection->state == CONNECTION_BODY ? incoming_body_read_size(connection->incoming) : HEAD_CHUNK;
}

/* Answers in plain text, so that a browser shows it to a user who typed http instead of https. */
static void refuse_plain_http(struct connection *connection)
{
    end_tls_session(connection);
    connection_refuse(connection, PROBLEM_BAD_REQUEST, "This address speaks HTTPS, and the request came without TLS");
}

/* A TLS session takes about 100 times the memory of a connection, so it is not created before the client sends a byte. Returns as
 * recv(2) does. */
static ssize_t begin_tls_session(struct connection *connection)
{
    char byte;
    ssize_t n = recv(connection->fd, &byte, 1, MSG_PEEK);

    if (n > 0)
        connection->ssl = http_tls_session(connection->set->config->tls, connection->fd);
    if (n > 0 && !connection->ssl) {
        errno = ENOMEM;
        return -1;
    }
    return n;
}

static ssize_t receive(struct connection *connection, char *out)
{
    ssize_t n = 1;

    if (connection->set->config->tls && !connection->ssl)
        n = begin_tls_session(connection);
    return n > 0 ? transport_recv(connection->fd, connection->ssl, out, next_read_size(connection)) : n;
}

/* The next piece of a body for its handler: first the bytes that were read with the head, then those of the socket. */
static ssize_t receive_body(struct connection *connection, char *out)
{
    size_t ahead = incoming_take_ahead(connection->incoming, out, READ_CHUNK);

    return ahead ? (ssize_t)ahead : receive(connection, out);
}

/* Until the socket is empty, the handler pauses, or the body ends. */
static void read_taken_body(struct connection *connection)
{
    if (takes_body(connection) && incoming_is_whole(connection->incoming))
        end_taken_body(connection);
    while (takes_body(connection) && !connection->incoming->is_paused) {
        ssize_t n = receive_body(connection, connection->set->read_buf);

        if (n > 0)
            give_body(connection, connection->set->read_buf, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else if (n < 0)
            close_failed(connection);
        else
            connection_refuse(connection, PROBLEM_BAD_REQUEST, "The connection ended before the body was complete");
    }
}

/* Reads and parses until the socket is empty or a request is complete. */
static void connection_read(struct connection *connection)
{
    char *chunk = connection->set->read_buf;

    if (connection->state == CONNECTION_HEAD && connection->incoming)
        parse_input(connection); /* pipelined bytes: they are in memory, so no event reports them */
    while (connection_is_in(connection, STATE(HEAD) | STATE(IDLE) | STATE(BODY)) && !takes_body(connection)) {
        ssize_t n = receive(connection, chunk);

        if (n > 0)
            add_input(connection, chunk, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else if (n < 0 && errno == EPROTOTYPE) /* plain HTTP on a TLS port (transport.h) */
            refuse_plain_http(connection);
        else if (n < 0)
            close_failed(connection);
        else
            connection_close(connection, END_FIN, "gone");
    }
    read_taken_body(connection);
}

/* Reads at once: input that arrived during the answer is not reported again. */
static void connection_next_request(struct connection *connection)
{
    connection->answered_before = true;
    connection_enter(connection, CONNECTION_IDLE, "kept-alive");
    if (connection->incoming && incoming_next(connection->incoming, limits_of(connection)))
        connection_enter(connection, CONNECTION_HEAD, "pipelined");
    else
        free_incoming(connection);
    if (connection->socket_is_empty && !connection->incoming)
        return; /* an event will report new input */
    if (++connection->requests_in_turn < REQUESTS_PER_TURN)
        connection_read(connection);
    else
        connection_rearm_event(connection);
}

/* -- lingering: after the last answer */

/* False: the goodbye of TLS must wait until the socket is writable. */
static bool end_output(struct connection *connection)
{
    if (connection->ssl && !transport_close_notify(connection->ssl))
        return false;
    end_tls_session(connection);
    if (shutdown(connection->fd, SHUT_WR)) /* the connection was reset */
        close_failed(connection);
    return true;
}

static uint32_t now_s(void)
{
    return (uint32_t)(clock_monotonic_ms() / 1000);
}

static bool may_linger_longer(const struct connection *connection)
{
    return !connection->over_limit && !connection->set->draining && now_s() < connection->linger_end_s;
}

/* Input is not decrypted, because it is discarded. */
static void discard_input(struct connection *connection)
{
    char *chunk = connection->set->read_buf;
    ssize_t n = 0;
    int reads = 0;

    if (connection->ssl && (!end_output(connection) || connection->state == CONNECTION_CLOSED))
        return;
    while (reads < DRAIN_READS && (n = recv(connection->fd, chunk, READ_CHUNK, 0)) > 0)
        reads++;
    if (n == 0) {
        connection_close(connection, END_FIN, "done");
        return;
    }
    if (n < 0 && errno != EAGAIN) {
        close_failed(connection);
        return;
    }
    if (reads && may_linger_longer(connection))
        connection_set_deadline(connection, DEADLINE_LINGER);
    if (n > 0)
        connection_rearm_event(connection);
}

static void connection_linger(struct connection *connection, const char *why)
{
    connection_enter(connection, CONNECTION_LINGERING, why);
    connection->linger_end_s = now_s() + (uint32_t)(connection->set->config->linger_max_ms / 1000);
    free_incoming(connection);
    http_output_deinit(&connection->output);
    if (end_output(connection) && connection->state == CONNECTION_LINGERING)
        discard_input(connection);
}

/* -- output */

size_t connection_unsent(const struct connection *connection)
{
    return http_output_unsent(&connection->output);
}

/* A full socket becomes writable again only in large pieces, so any progress earns a new deadline. */
static void update_write_deadline(struct connection *connection, bool progress)
{
    if (!connection_is_in(connection, STATE(STREAMING) | STATE(SENDING)))
        return;
    if (!connection_unsent(connection))
        connection_set_deadline(connection, DEADLINE_NONE);
    else if (progress || connection->deadline == DEADLINE_NONE)
        connection_set_deadline(connection, DEADLINE_WRITE);
}

bool connection_send(struct connection *connection)
{
    ssize_t taken;

    if (buf_error(&connection->output.bytes)) {
        connection_close(connection, END_RST, "no-memory");
        return false;
    }
    taken = http_output_send(&connection->output, connection->fd, connection->ssl);
    if (taken < 0) {
        close_failed(connection);
        return false;
    }
    update_write_deadline(connection, taken > 0);
    return true;
}

static void after_last_byte(struct connection *connection)
{
    if (connection->close_after_answer || connection->set->draining)
        connection_linger(connection, "last-answer");
    else
        connection_next_request(connection);
}

static void report_room(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    struct http_exchange *exchange = &connection->exchange;

    if (!exchange->waits_for_room || connection_unsent(connection) > config->output_max)
        return;
    exchange->waits_for_room = false;
    (exchange->on_room ? exchange->on_room : config->on_room)(exchange->handler_arg);
}

/* In BODY, the output is "100 Continue". */
static void connection_flush(struct connection *connection)
{
    if (!connection_is_in(connection, STATE(BODY) | STATE(STREAMING) | STATE(SENDING)))
        return;
    if (!connection_send(connection))
        return;
    if (connection->state == CONNECTION_SENDING && !connection_unsent(connection))
        after_last_byte(connection);
    else if (connection->state == CONNECTION_STREAMING)
        report_room(connection);
}

void connection_finish_answer(struct connection *connection)
{
    connection->exchange = (struct http_exchange){0};
    if (connection->delivery)
        timeouts_start(connection->set->deliveries, &connection->delivery->timer);
    connection_enter(connection, CONNECTION_SENDING, "answered");
    connection_schedule_turn_end(connection);
}

void connection_begin_stream(struct connection *connection)
{
    connection_enter(connection, CONNECTION_STREAMING, "stream");
    connection_schedule_turn_end(connection);
}

void connection_abort(struct connection *connection, enum connection_end how)
{
    if (connection_is_in(connection, STATE(STREAMING) | STATE(SENDING)) && !connection_send(connection))
        return;
    end_delivery(connection, false);
    if (how == END_RST)
        connection_close(connection, END_RST, "aborted");
    else
        connection_linger(connection, "aborted");
}

/* -- detecting a disconnect */

/* POLLIN is left out of the result: input alone means nothing here. A TLS session may buffer bytes that poll(2) does not see, so
 * socket_is_empty stays false with one. */
static int poll_socket(struct connection *connection)
{
    struct pollfd socket = {.fd = connection->fd, .events = POLLIN | POLLRDHUP};
    int ready = poll(&socket, 1, 0);

    connection->socket_is_empty = !ready && !connection->ssl;
    return ready > 0 ? socket.revents : 0;
}

/* Finds a close_notify only if no data is in front of it. */
static bool has_tls_session_ended(const struct connection *connection)
{
    ssize_t n = connection->ssl ? transport_peek(connection->ssl) : 1;

    return !n || (n < 0 && errno != EAGAIN);
}

/* Called while an answer is not complete. */
static void check_client(struct connection *connection)
{
    bool half_close_is_gone = connection->set->config->half_close_is_gone ||
                              (connection->state == CONNECTION_HANDLING && connection->exchange.half_close_is_gone);
    int gone = POLLERR | POLLHUP | (half_close_is_gone ? POLLRDHUP : 0);
    int ready = poll_socket(connection);
    bool streams = connection->state == CONNECTION_STREAMING;

    if (ready & gone || (streams && has_tls_session_ended(connection))) {
        connection_close(connection, END_FIN, "gone");
    } else if (streams && ready & POLLRDHUP && !connection->half_close_reported) {
        connection->half_close_reported = true;
        connection->set->on_half_closed(connection);
    }
}

/* -- the end of the turn */

static void connection_free(struct connection *connection)
{
    free_incoming(connection);
    free(connection);
}

/* Once per stream: frees its request. */
static void free_stream_request(struct connection *connection)
{
    if (!connection->incoming || !connection->incoming->end)
        return;
    free_current_request(connection);
    if (!connection->socket_is_empty)
        check_client(connection);
}

static void release_connection(struct connection *connection)
{
    struct connection_set *set = connection->set;

    if (connection->exchange.open && !connection->exchange.on_closed)
        return; /* freed when the handler answers */
    TAILQ_REMOVE(&set->all, connection, link);
    (void)report_closed(connection);
    connection_free(connection);
}

static void connection_on_turn_end(void *arg)
{
    struct connection *connection = arg;

    connection->turn_end_scheduled = false;
    if (connection->state == CONNECTION_STREAMING && connection->exchange.head_only && report_closed(connection))
        connection_finish_answer(connection);
    if (connection->state == CONNECTION_STREAMING)
        free_stream_request(connection);
    read_taken_body(connection);
    connection_flush(connection);
    if (connection->state == CONNECTION_CLOSED && !connection->turn_end_scheduled)
        release_connection(connection);
}

/* -- events */

static void connection_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    struct connection_set *set = connection->set;

    (void)fd;
    connection->requests_in_turn = 0;
    connection->socket_is_empty = false;
    switch ((enum connection_state)connection->state) {
    case CONNECTION_HEAD:
    case CONNECTION_IDLE:
    case CONNECTION_BODY:
        connection_read(connection);
        if (connection->state == CONNECTION_HANDLING)
            check_client(connection); /* a FIN that came with the request is not reported again */
        break;
    case CONNECTION_HANDLING:
    case CONNECTION_STREAMING:
        check_client(connection);
        break;
    case CONNECTION_LINGERING:
        discard_input(connection);
        break;
    case CONNECTION_SENDING:
    case CONNECTION_CLOSED:
    case CONNECTION_STATE_COUNT:
        break;
    }
    if (what & EV_WRITE || connection->ssl) /* a TLS session may have to read before it can write */
        connection_flush(connection);
    if (++set->events == MANY_EVENTS) {
        set->events = 0;
        set->on_many_events(set);
    }
}

static void connection_on_timeout(struct timeout *timeout, void *arg)
{
    struct connection *connection = container_of(timeout, struct connection, timeout);

    (void)arg;
    connection->deadline = DEADLINE_NONE;
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

static bool watch_socket(struct connection *connection, struct connection_set *set, int fd)
{
    short what = EV_READ | EV_WRITE | EV_ET | EV_PERSIST;

    return !event_assign(&connection->event, loop_base(set->loop), fd, what, connection_on_event, connection) &&
           !event_add(&connection->event, NULL);
}

struct connection *connection_create(struct connection_set *set, int fd, uint32_t address_entry)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection || !watch_socket(connection, set, fd)) {
        free(connection);
        close(fd);
        if (address_entry)
            http_address_limit_release(set->config->address_limit, address_entry);
        return NULL;
    }
    connection->set = set;
    connection->fd = fd;
    connection->address_entry = address_entry;
    connection->state = CONNECTION_HEAD;
    http_output_init(&connection->output);
    TAILQ_INSERT_TAIL(&set->all, connection, link);
    set->count++;
    report_count(set);
    connection_set_deadline(connection, DEADLINE_HEAD);
    return connection;
}

/* -- all connections of a server */

int connection_set_init(struct connection_set *set, struct loop *loop, const struct http_server_config *config)
{
    const int64_t times_ms[DEADLINE_COUNT] = {
        [DEADLINE_HEAD] = config->head_timeout_ms,     [DEADLINE_BODY] = config->body_timeout_ms,
        [DEADLINE_IDLE] = config->idle_timeout_ms,     [DEADLINE_WRITE] = config->write_timeout_ms,
        [DEADLINE_LINGER] = config->linger_timeout_ms, [DEADLINE_TAKEN_BODY] = config->taken_body_timeout_ms,
    };

    set->loop = loop;
    set->config = config;
    TAILQ_INIT(&set->all);
    for (int i = DEADLINE_NONE + 1; i < DEADLINE_COUNT; i++) {
        set->deadlines[i] = timeouts_create(loop, times_ms[i], connection_on_timeout, set);
        if (!set->deadlines[i])
            return ERR_NO_MEMORY;
    }
    set->deliveries = timeouts_create(loop, DELIVERY_MS, delivery_on_timeout, NULL);
    return set->deliveries ? 0 : ERR_NO_MEMORY;
}

/* Replaces connection_on_turn_end, because the set no longer exists when this runs. */
static void connection_on_last_turn_end(void *arg)
{
    connection_free(arg);
}

void connection_set_deinit(struct connection_set *set)
{
    struct connection *connection;

    while ((connection = TAILQ_FIRST(&set->all))) {
        connection_close(connection, END_FIN, "server-ends");
        TAILQ_REMOVE(&set->all, connection, link);
        (void)report_closed(connection);
        connection_schedule_turn_end(connection);
        connection->turn_end.fn = connection_on_last_turn_end;
    }
    for (int i = DEADLINE_NONE + 1; i < DEADLINE_COUNT; i++)
        set->deadlines[i] = timeouts_destroy(set->deadlines[i]);
    set->deliveries = timeouts_destroy(set->deliveries);
}

void connection_set_drain(struct connection_set *set)
{
    struct connection *connection, *next;

    set->draining = true;
    TAILQ_FOREACH_SAFE (connection, &set->all, link, next) {
        connection_read(connection); /* closing with an unread request would send a reset */
        if (connection_is_in(connection, STATE(IDLE) | STATE(HEAD)) && !connection->incoming)
            connection_close(connection, END_FIN, "draining");
    }
}
