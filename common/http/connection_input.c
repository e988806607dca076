/* The way into a connection: bytes become requests. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/http/connection.h"
#include "common/http/tls.h"
#include "common/transport.h"

enum {
    HEAD_CHUNK = 4 * 1024, /* at most this much of later requests is taken along with a head */
    REFUSED_HEAD_CHUNKS = 4,
    BURST_MAX = 16,
};

void connection_free_incoming(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;

    if (!incoming)
        return;
    buf_deinit(&incoming->input);
    buf_deinit(&incoming->headers);
    free(incoming);
    connection->incoming = NULL;
}

static bool make_incoming(struct connection *connection)
{
    const struct http_limits *limits = &connection->set->config->limits;
    struct incoming *incoming = calloc(1, sizeof(*incoming));

    if (!incoming)
        return false;
    buf_init(&incoming->input, limits->target_max + limits->head_max + (size_t)limits->body_max + READ_CHUNK);
    buf_init(&incoming->headers, READ_CHUNK);
    http_parser_init(&incoming->parser, limits);
    connection->incoming = incoming;
    return true;
}

void connection_refuse(struct connection *connection, enum problem problem, const char *detail)
{
    if (!connection->incoming && !make_incoming(connection)) {
        connection_close(connection, END_RST, "no-memory");
        return;
    }
    connection->close_after = true;
    connection->set->on_refused(connection, problem, detail);
}

static void handle(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;
    struct http_request *request = &incoming->request;
    size_t body_len = (size_t)request->content_length;

    if (incoming->input.len - incoming->head_len >= body_len)
        request->body = (struct http_text){incoming->input.data + incoming->head_len, body_len};
    else
        connection->close_after = true; /* nobody takes this body, so its end is not looked for */
    incoming->end = incoming->head_len + request->body.len;
    if (!request->keep_alive)
        connection->close_after = true;
    connection->exchange = (struct http_exchange){.open = true, .head_only = request->method == HTTP_HEAD};
    connection->silent = false;
    connection_enter(connection, CONNECTION_HANDLING, "request");
    connection->set->on_request(connection);
}

/* A body that no route takes is not worth waiting for, and gets no "100 Continue". */
static void on_head(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;
    struct http_request *request = &incoming->request;
    size_t here = incoming->input.len - incoming->head_len;

    http_parser_request(&incoming->parser, incoming->input.data, request);
    if ((int64_t)here >= request->content_length ||
        !http_route_find(connection->set->config, request->method, request->path).route) {
        handle(connection);
        return;
    }
    connection_enter(connection, CONNECTION_BODY, "head");
    if (request->expect_continue && !here) {
        buf_add_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        connection_turn_later(connection);
    }
}

static void on_body(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;

    if ((int64_t)(incoming->input.len - incoming->head_len) < incoming->request.content_length)
        return;
    /* The bytes may have moved since the head was whole. */
    http_parser_request(&incoming->parser, incoming->input.data, &incoming->request);
    handle(connection);
}

/* The refusal hook may need a header that follows the fault. A client sends its head in one piece, so the rest of it has arrived. */
static void read_refused_head(struct connection *connection)
{
    struct buf *input = &connection->incoming->input;
    char *chunk = connection->set->chunk;

    for (int i = 0; connection->set->config->on_refusal && i < REFUSED_HEAD_CHUNKS; i++) {
        ssize_t n = transport_recv(connection->fd, connection->ssl, chunk, HEAD_CHUNK);

        if (n <= 0 || (size_t)n > input->max - input->len)
            return;
        buf_add(input, chunk, (size_t)n);
    }
}

/* Makes what can be made of the bytes that are here. */
static void advance(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;

    if (connection->state == CONNECTION_BODY) {
        on_body(connection);
        return;
    }
    switch (http_parser_run(&incoming->parser, incoming->input.data, incoming->input.len, &incoming->head_len)) {
    case HTTP_PARSE_MORE:
        break;
    case HTTP_PARSE_DONE:
        on_head(connection);
        break;
    case HTTP_PARSE_FAILED:
        read_refused_head(connection);
        connection_refuse(connection, incoming->parser.problem, incoming->parser.detail);
        break;
    }
}

static void take(struct connection *connection, const char *bytes, size_t len)
{
    if (!connection->incoming && !make_incoming(connection)) {
        connection_close(connection, END_RST, "no-memory");
        return;
    }
    if (connection->state == CONNECTION_IDLE)
        connection_enter(connection, CONNECTION_HEAD, "bytes");
    buf_add(&connection->incoming->input, bytes, len);
    if (buf_error(&connection->incoming->input))
        connection_close(connection, END_RST, "no-memory");
    else
        advance(connection);
}

/* Of a body exactly what belongs to it: later requests stay in the kernel. */
static size_t wanted(const struct connection *connection)
{
    const struct incoming *incoming = connection->incoming;
    int64_t rest;

    if (connection->state != CONNECTION_BODY)
        return HEAD_CHUNK;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): who waits for a body has a request */
    rest = incoming->request.content_length - (int64_t)(incoming->input.len - incoming->head_len);
    return rest < READ_CHUNK ? (size_t)rest : READ_CHUNK;
}

/* The answer is plain, as the question was: a browser shows it to whoever has typed http instead of https. */
static void refuse_plain(struct connection *connection)
{
    connection_end_session(connection);
    connection_refuse(connection, PROBLEM_BAD_REQUEST, "This address speaks HTTPS, and the request came without TLS");
}

/* A session is a hundred times what a connection is: whoever says nothing gets none. -1 with EAGAIN: nothing has come. */
static ssize_t begin_session(struct connection *connection)
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
        n = begin_session(connection);
    return n > 0 ? transport_recv(connection->fd, connection->ssl, out, wanted(connection)) : n;
}

void connection_read(struct connection *connection)
{
    char *chunk = connection->set->chunk;

    if (connection->state == CONNECTION_HEAD && connection->incoming)
        advance(connection); /* pipelined bytes, which no read will announce */
    while (connection_is_in(connection, STATE(HEAD) | STATE(IDLE) | STATE(BODY))) {
        ssize_t n = receive(connection, chunk);

        if (n > 0)
            take(connection, chunk, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else if (n < 0 && errno == EPROTOTYPE)
            refuse_plain(connection);
        else
            connection_close(connection, END_FIN, n < 0 ? "failed" : "gone");
    }
}

/* Adding the event again makes the loop look at the socket again, after everything else that waits. */
static void read_later(struct connection *connection)
{
    if (event_del(&connection->event) || event_add(&connection->event, NULL))
        connection_close(connection, END_RST, "no-memory");
}

void connection_next_request(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;

    connection_enter(connection, CONNECTION_IDLE, "kept-alive");
    if (incoming && incoming->input.len > incoming->end) {
        buf_drop_front(&incoming->input, incoming->end);
        buf_deinit(&incoming->headers);
        http_parser_init(&incoming->parser, &connection->set->config->limits);
        connection_enter(connection, CONNECTION_HEAD, "pipelined");
    } else {
        connection_free_incoming(connection);
    }
    if (connection->silent && !connection->incoming)
        return; /* what comes will be announced */
    if (++connection->burst < BURST_MAX)
        connection_read(connection);
    else
        read_later(connection);
}
