/* The way into a connection: bytes become requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/http/connection.h"
#include "common/http/tls.h"
#include "common/transport.h"

enum {
    REFUSED_HEAD_CHUNKS = 4,
    BURST_MAX = 16,
};

static void destroy_incoming(struct incoming *incoming)
{
    if (!incoming)
        return;
    buf_deinit(&incoming->input);
    buf_deinit(&incoming->headers);
    free(incoming);
}

void connection_free_incoming(struct connection *connection)
{
    destroy_incoming(connection->incoming);
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
    incoming->parser.empty_line_skipped = connection->empty_line;
    connection->incoming = incoming;
    return true;
}

/* Without memory for them the bytes are lost, so the answer under way is the last one. */
void connection_keep_ahead(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;
    size_t ahead = incoming->input.len - incoming->end;

    connection->incoming = NULL;
    if (ahead && make_incoming(connection))
        buf_add(&connection->incoming->input, incoming->input.data + incoming->end, ahead);
    if (ahead && (!connection->incoming || buf_error(&connection->incoming->input))) {
        connection_free_incoming(connection);
        connection->close_after = true;
    }
    destroy_incoming(incoming);
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

    request->body = (struct http_text){incoming->input.data + incoming->head_len, incoming->body_len};
    incoming->end = incoming->head_len + incoming->body_len;
    if (!request->keep_alive)
        connection->close_after = true;
    connection->empty_line = false;
    connection->exchange = (struct http_exchange){.open = true, .head_only = request->method == HTTP_HEAD};
    connection->silent = false;
    connection_enter(connection, CONNECTION_HANDLING, "request");
    connection->set->on_request(connection);
}

/* Decodes in place what has come of a body in chunks. The bytes of later requests end up right after it. */
static enum http_parse decode_chunks(struct incoming *incoming)
{
    struct buf *input = &incoming->input;
    char *end = input->data + incoming->head_len + incoming->body_len;
    size_t coded = input->len - incoming->head_len - incoming->body_len, taken, decoded;
    enum http_parse parse = http_chunked_run(&incoming->chunked, end, coded, &taken, end, &decoded);

    memmove(end + decoded, end + taken, coded - taken);
    incoming->body_len += decoded;
    buf_truncate(input, input->len - (taken - decoded));
    return parse;
}

static enum http_parse read_length(struct incoming *incoming)
{
    int64_t length = incoming->request.content_length;

    if ((int64_t)(incoming->input.len - incoming->head_len) < length)
        return HTTP_PARSE_MORE;
    incoming->body_len = (size_t)length;
    return HTTP_PARSE_DONE;
}

static enum http_parse read_body(struct incoming *incoming)
{
    return incoming->request.chunked ? decode_chunks(incoming) : read_length(incoming);
}

static void refuse_chunks(struct connection *connection)
{
    const struct http_chunked *chunked = &connection->incoming->chunked;

    connection_refuse(connection, chunked->problem, chunked->detail);
}

static bool has_route(const struct connection *connection)
{
    const struct http_request *request = &connection->incoming->request;

    return http_route_find(connection->set->config, request->method, request->path).route;
}

/* A body that no route takes is not worth waiting for, and gets no "100 Continue". */
static void wait_for_body(struct connection *connection, bool has_begun)
{
    if (!has_route(connection)) {
        connection->incoming->body_len = 0;
        connection->close_after = true; /* the end of the body is not looked for */
        handle(connection);
        return;
    }
    connection_enter(connection, CONNECTION_BODY, "head");
    if (connection->incoming->request.expect_continue && !has_begun) {
        buf_add_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        connection_turn_later(connection);
    }
}

static void on_head(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;
    bool has_begun = incoming->input.len > incoming->head_len;

    http_parser_request(&incoming->parser, incoming->input.data, &incoming->request);
    if (incoming->request.chunked)
        http_chunked_init(&incoming->chunked, connection->set->config->limits.body_max);
    incoming->body_len = 0;
    switch (read_body(incoming)) {
    case HTTP_PARSE_MORE:
        wait_for_body(connection, has_begun);
        break;
    case HTTP_PARSE_DONE:
        handle(connection);
        break;
    case HTTP_PARSE_FAILED:
        refuse_chunks(connection);
        break;
    }
}

static void on_body(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;

    switch (read_body(incoming)) {
    case HTTP_PARSE_MORE:
        break;
    case HTTP_PARSE_DONE:
        /* The bytes may have moved since the head was whole. */
        http_parser_request(&incoming->parser, incoming->input.data, &incoming->request);
        handle(connection);
        break;
    case HTTP_PARSE_FAILED:
        refuse_chunks(connection);
        break;
    }
}

/* An empty line after an answer belongs to no request yet: the connection stays idle. Of two the second one is refused, whether they
 * come together or apart. */
static void ignore_empty_line(struct connection *connection)
{
    if (!connection->kept_alive || !http_parser_has_only_empty_line(&connection->incoming->parser))
        return;
    connection->empty_line = true;
    connection_free_incoming(connection);
    connection_enter(connection, CONNECTION_IDLE, "empty-line");
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
        ignore_empty_line(connection);
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

/* Of a body with a length exactly that; of chunks at most HEAD_CHUNK beyond the current one. Later requests stay in the kernel. */
static size_t wanted(const struct connection *connection)
{
    const struct incoming *incoming = connection->incoming;
    size_t rest;

    if (connection->state != CONNECTION_BODY)
        return HEAD_CHUNK;
    if (incoming->request.chunked) /* NOLINT(clang-analyzer-core.NullDereference): BODY has a request */
        rest = incoming->chunked.left > HEAD_CHUNK ? (size_t)incoming->chunked.left : HEAD_CHUNK;
    else
        rest = (size_t)incoming->request.content_length - (incoming->input.len - incoming->head_len);
    return rest < READ_CHUNK ? rest : READ_CHUNK;
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

/* Adding the event again makes the loop look at the socket again. */
void connection_read_later(struct connection *connection)
{
    if (event_del(&connection->event) || event_add(&connection->event, NULL))
        connection_close(connection, END_RST, "no-memory");
}

void connection_next_request(struct connection *connection)
{
    struct incoming *incoming = connection->incoming;

    connection->kept_alive = true;
    connection_enter(connection, CONNECTION_IDLE, "kept-alive");
    if (incoming && incoming->input.len > incoming->end) {
        buf_drop_front(&incoming->input, incoming->end);
        incoming->end = 0;
        buf_deinit(&incoming->headers);
        http_parser_init(&incoming->parser, &connection->set->config->limits);
        connection_enter(connection, CONNECTION_HEAD, "pipelined");
    } else {
        connection_free_incoming(connection);
    }
    if (connection->silent && !connection->incoming)
        return; /* an event will report what comes */
    if (++connection->burst < BURST_MAX)
        connection_read(connection);
    else
        connection_read_later(connection);
}
