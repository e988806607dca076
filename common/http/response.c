/* The exchange, as handlers see it: what came, and the bytes of the answer. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/http/connection.h"
#include "common/http/server.h"
#include "common/http/text.h"

enum { PROBLEM_MAX = 64 * 1024, LENGTH_UNKNOWN = -1 };

static struct connection *connection_of(const struct http_exchange *exchange)
{
    return container_of(exchange, struct connection, exchange);
}

static bool is_closed(const struct connection *connection)
{
    return connection->state == CONNECTION_CLOSED;
}

/* The handler lets go of an exchange whose client has left: the connection may be freed now. */
static void give_up(struct connection *connection)
{
    connection->exchange.open = false;
    connection_turn_later(connection);
}

/* -- the request */

const struct http_request *http_exchange_request(const struct http_exchange *exchange)
{
    return &connection_of(exchange)->incoming->request;
}

const char *http_exchange_request_id(const struct http_exchange *exchange)
{
    return connection_of(exchange)->incoming->request_id;
}

struct http_text http_exchange_segment(const struct http_exchange *exchange)
{
    return connection_of(exchange)->incoming->segment;
}

void http_exchange_on_closed(struct http_exchange *exchange, void (*on_closed)(void *arg), void *arg)
{
    exchange->on_closed = on_closed;
    exchange->closed_arg = arg;
    if (is_closed(connection_of(exchange)) || exchange->head_only)
        connection_turn_later(connection_of(exchange));
}

void http_exchange_set_note(struct http_exchange *exchange, void *note)
{
    exchange->note = note;
}

void *http_exchange_note(const struct http_exchange *exchange)
{
    return exchange->note;
}

size_t http_exchange_unsent(const struct http_exchange *exchange)
{
    return connection_unsent(connection_of(exchange));
}

/* -- the head of an answer */

static bool is_clean(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static void add_line(struct buf *out, const char *name, const char *value)
{
    buf_add_text(out, name);
    buf_add(out, ": ", 2);
    buf_add_text(out, value);
    buf_add(out, "\r\n", 2);
}

void http_add_header(struct http_exchange *exchange, const char *name, const char *value)
{
    struct connection *connection = connection_of(exchange);
    struct http_text connection_header = {name, strlen(name)};

    if (!connection->incoming || !http_is_token(name, strlen(name)) || !is_clean(value))
        return;
    if (http_text_is_nocase(connection_header, "Connection"))
        connection->close_after = true; /* the only thing a handler can mean */
    else if (http_text_is_nocase(connection_header, "X-Request-Id") && strlen(value) <= REQUEST_ID_MAX)
        memcpy(connection->incoming->request_id, value, strlen(value) + 1);
    else
        add_line(&connection->incoming->headers, name, value);
}

static const char *reason(int status)
{
    /* clang-format off */
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        { 200, "OK" },                              { 201, "Created" },
        { 202, "Accepted" },                        { 204, "No Content" },
        { 301, "Moved Permanently" },               { 302, "Found" },
        { 303, "See Other" },                       { 304, "Not Modified" },
        { 307, "Temporary Redirect" },              { 308, "Permanent Redirect" },
        { 400, "Bad Request" },                     { 401, "Unauthorized" },
        { 402, "Payment Required" },                { 403, "Forbidden" },
        { 404, "Not Found" },                       { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },                  { 408, "Request Timeout" },
        { 409, "Conflict" },                        { 410, "Gone" },
        { 411, "Length Required" },                 { 413, "Content Too Large" },
        { 414, "URI Too Long" },                    { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },              { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },               { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },           { 501, "Not Implemented" },
        { 502, "Bad Gateway" },                     { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },                 { 505, "HTTP Version Not Supported" },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "";
}

/* Made once a second. Not strftime: the names of days and months must not follow the locale. */
static void add_date(struct connection_set *set, struct buf *out)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    if (now != set->dated && gmtime_r(&now, &tm)) {
        (void)snprintf(set->date, sizeof(set->date), "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
                       tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        set->dated = now;
    }
    buf_add_text(out, set->date);
}

static bool has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

static void tell_answer(const struct connection *connection, int status)
{
    const struct http_server_config *config = connection->set->config;

    if (config->on_answer)
        config->on_answer(connection->incoming->match.route, status, config->arg);
}

static void add_status_line(struct buf *out, int status)
{
    buf_add_text(out, "HTTP/1.1 ");
    buf_add_int(out, status);
    buf_add_char(out, ' ');
    buf_add_text(out, reason(status));
    buf_add(out, "\r\n", 2);
}

static void add_length(struct buf *out, int64_t length)
{
    buf_add_text(out, "Content-Length: ");
    buf_add_int(out, length);
    buf_add(out, "\r\n", 2);
}

static void write_head(struct connection *connection, int status, const char *content_type, int64_t length)
{
    struct incoming *incoming = connection->incoming;
    struct buf *out = &connection->out;

    tell_answer(connection, status);
    if (connection->set->draining)
        connection->close_after = true;
    add_status_line(out, status);
    add_date(connection->set, out);
    if (content_type)
        add_line(out, "Content-Type", content_type);
    if (connection->exchange.chunked)
        add_line(out, "Transfer-Encoding", "chunked");
    else if (length != LENGTH_UNKNOWN && !has_no_body(status))
        add_length(out, length);
    buf_fail(out, buf_error(&incoming->headers));
    buf_add(out, incoming->headers.data, incoming->headers.len);
    add_line(out, "X-Request-Id", incoming->request_id);
    add_line(out, "X-Content-Type-Options", "nosniff");
    if (connection->close_after)
        add_line(out, "Connection", "close");
    buf_add(out, "\r\n", 2);
}

/* -- a whole answer */

void http_respond(struct http_exchange *exchange, int status, const char *content_type, const char *body, size_t len)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection)) {
        give_up(connection);
        return;
    }
    write_head(connection, status, content_type, (int64_t)len);
    if (len && !exchange->head_only && !has_no_body(status))
        buf_add(&connection->out, body, len);
    connection_answered(connection);
}

void http_respond_problem(struct http_exchange *exchange, const struct problem_report *report)
{
    struct problem_report full = *report;
    struct buf body;

    full.request_id = http_exchange_request_id(exchange);
    buf_init(&body, PROBLEM_MAX);
    problem_write(&body, &full);
    if (buf_error(&body)) { /* too many fields: the answer is as right without them */
        buf_clear(&body);
        full.field_count = 0;
        problem_write(&body, &full);
    }
    buf_fail(&connection_of(exchange)->out, buf_error(&body));
    http_respond(exchange, problem_status(full.problem), "application/problem+json", buf_text(&body), body.len);
    buf_deinit(&body);
}

/* -- a stream */

void http_stream_begin(struct http_exchange *exchange, int status, const char *content_type)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection))
        return;
    exchange->chunked = connection->incoming->request.minor == 1;
    if (!exchange->chunked)
        connection->close_after = true;
    write_head(connection, status, content_type, LENGTH_UNKNOWN);
    connection_stream(connection);
}

static bool is_behind(const struct connection *connection)
{
    return connection_unsent(connection) > connection->set->config->output_max;
}

bool http_stream_is_behind(struct http_exchange *exchange)
{
    struct connection *connection = connection_of(exchange);

    return is_behind(connection) && connection_send(connection) && is_behind(connection);
}

void http_stream_wait_for_room(struct http_exchange *exchange)
{
    exchange->wants_room = true;
    connection_turn_later(connection_of(exchange)); /* what was sent already is not announced again */
}

/* False: the stream takes nothing, for one reason or another. What was written on this turn is not the reader's fault before
 * the kernel was asked to take it. */
static bool takes_output(struct connection *connection)
{
    if (is_closed(connection) || connection->exchange.head_only)
        return false;
    if (http_stream_is_behind(&connection->exchange))
        connection_close(connection, END_RST, "too-slow");
    return !is_closed(connection);
}

void http_stream_write(struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct connection *connection = connection_of(exchange);
    struct buf *out = &connection->out;

    assert(exchange->open);
    if (!len || !takes_output(connection))
        return;
    if (exchange->chunked) {
        buf_add_hex(out, len);
        buf_add(out, "\r\n", 2);
    }
    buf_add(out, bytes, len);
    if (exchange->chunked)
        buf_add(out, "\r\n", 2);
    connection_turn_later(connection);
}

void http_close_after(struct http_exchange *exchange)
{
    connection_of(exchange)->close_after = true;
}

void http_stream_end(struct http_exchange *exchange)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection)) {
        give_up(connection);
        return;
    }
    if (exchange->chunked && !exchange->head_only)
        buf_add_text(&connection->out, "0\r\n\r\n");
    connection_answered(connection);
}

/* -- raw control */

/* Without a head before it, what the bytes mean is the caller's affair: only closing can end them. */
void http_raw_write(struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (!takes_output(connection))
        return;
    if (connection->state == CONNECTION_HANDLING) {
        connection->close_after = true;
        connection_stream(connection);
    }
    buf_add(&connection->out, bytes, len);
    connection_turn_later(connection);
}

void http_abort(struct http_exchange *exchange, enum http_abort how)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection)) {
        give_up(connection);
        return;
    }
    *exchange = (struct http_exchange){0};
    connection_abort(connection, how == HTTP_ABORT_RST ? END_RST : END_FIN);
}
