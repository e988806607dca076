#include "common/http/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/http/connection.h"

enum {
    RANDOM_ID_BYTES = 16,
    PROBLEM_MAX = 64 * 1024, /* bytes */
    LENGTH_UNKNOWN = -1,
};

#define RETRY_AFTER  "1" /* seconds */
#define EVENT_STREAM "text/event-stream"

static struct connection *connection_of(const struct http_exchange *exchange)
{
    return container_of(exchange, struct connection, exchange);
}

static bool is_closed(const struct connection *connection)
{
    return connection->state == CONNECTION_CLOSED;
}

/* The handler has answered a client that is gone, so the connection can be freed. */
static void release_closed(struct connection *connection)
{
    connection->exchange.open = false;
    connection_schedule_turn_end(connection);
}

/* -- the request, as the handler reads it */

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
    exchange->handler_arg = arg;
    if (is_closed(connection_of(exchange)) || exchange->head_only)
        connection_schedule_turn_end(connection_of(exchange));
}

void http_exchange_set_note(struct http_exchange *exchange, void *note)
{
    exchange->note = note;
}

void *http_exchange_note(const struct http_exchange *exchange)
{
    return exchange->note;
}

void http_exchange_on_room(struct http_exchange *exchange, void (*on_room)(void *handler_arg))
{
    exchange->on_room = on_room;
}

size_t http_exchange_unsent(const struct http_exchange *exchange)
{
    return connection_unsent(connection_of(exchange));
}

/* -- the head of an answer */

static bool has_no_control_byte(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static void add_header_line(struct buf *out, const char *name, const char *value)
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

    if (!connection->incoming || !http_is_token(name, strlen(name)) || !has_no_control_byte(value))
        return;
    if (http_text_is_nocase(connection_header, "Connection"))
        connection->close_after_answer = true; /* close is the only value that makes sense here */
    else if (http_text_is_nocase(connection_header, "X-Request-Id") && strlen(value) <= REQUEST_ID_MAX)
        memcpy(connection->incoming->request_id, value, strlen(value) + 1);
    else
        add_header_line(&connection->incoming->headers, name, value);
}

static const char *reason_phrase(int status)
{
    /* clang-format off */
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        { 200, "OK" },                              { 201, "Created" },
        { 202, "Accepted" },                        { 204, "No Content" },
        { 206, "Partial Content" },                 { 416, "Range Not Satisfiable" },
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
        { 424, "Failed Dependency" },
        { 429, "Too Many Requests" },               { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },           { 501, "Not Implemented" },
        { 502, "Bad Gateway" },                     { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },                 { 505, "HTTP Version Not Supported" },
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "";
}

/* Formatted once per second. Not with strftime, because the names of days and months must not depend on the locale. */
static void add_date(struct connection_set *set, struct buf *out)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    if (now != set->date_s && gmtime_r(&now, &tm)) {
        (void)snprintf(set->date_line, sizeof(set->date_line), "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
                       days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                       tm.tm_sec);
        set->date_s = now;
    }
    buf_add_text(out, set->date_line);
}

static bool forbids_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

static void report_answer(const struct connection *connection, int status)
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
    buf_add_text(out, reason_phrase(status));
    buf_add(out, "\r\n", 2);
}

static void add_content_length(struct buf *out, int64_t length)
{
    buf_add_text(out, "Content-Length: ");
    buf_add_int(out, length);
    buf_add(out, "\r\n", 2);
}

static void write_response_head(struct connection *connection, int status, const char *content_type, int64_t length)
{
    struct incoming_request *incoming = connection->incoming;
    struct buf *out = &connection->output.bytes;

    report_answer(connection, status);
    if (connection->set->draining || !incoming->end) /* the rest of the request is not read */
        connection->close_after_answer = true;
    add_status_line(out, status);
    add_date(connection->set, out);
    if (content_type)
        add_header_line(out, "Content-Type", content_type);
    if (connection->exchange.chunked)
        add_header_line(out, "Transfer-Encoding", "chunked");
    else if (length != LENGTH_UNKNOWN && !forbids_body(status))
        add_content_length(out, length);
    buf_fail(out, buf_error(&incoming->headers));
    buf_add(out, incoming->headers.data, incoming->headers.len);
    add_header_line(out, "X-Request-Id", incoming->request_id);
    add_header_line(out, "X-Content-Type-Options", "nosniff");
    if (connection->close_after_answer)
        add_header_line(out, "Connection", "close");
    buf_add(out, "\r\n", 2);
}

/* -- a whole answer */

void http_respond(struct http_exchange *exchange, int status, const char *content_type, const char *body, size_t len)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection)) {
        release_closed(connection);
        return;
    }
    write_response_head(connection, status, content_type, (int64_t)len);
    if (len && !exchange->head_only && !forbids_body(status))
        buf_add(&connection->output.bytes, body, len);
    connection_finish_answer(connection);
}

/* The path of a request that was refused before it was parsed; empty if its first line has none. */
static struct http_text path_of_refused(const struct buf *input)
{
    const char *end = input->data + input->len, *path = input->len ? memchr(input->data, ' ', input->len) : NULL;
    size_t len = 0;

    if (!path)
        return (struct http_text){0};
    path++;
    while (path + len < end && !strchr(" ?\r\n", path[len]))
        len++;
    return (struct http_text){path, len};
}

static bool write_other_problem(struct connection *connection, const struct problem_details *details,
                                struct http_problem_answer *out)
{
    const struct http_server_config *config = connection->set->config;
    struct http_text path = connection->incoming->request.path;

    if (!config->write_problem)
        return false;
    if (!path.data)
        path = path_of_refused(&connection->incoming->input);
    return config->write_problem(&connection->exchange, path, details, out, config->arg);
}

static void write_problem_json(const struct problem_details *details, struct http_problem_answer *out)
{
    struct problem_details without_fields = *details;

    out->status = problem_status(details->problem);
    out->content_type = "application/problem+json";
    problem_write(&out->body, details);
    if (buf_error(&out->body)) { /* too long with its fields */
        buf_clear(&out->body);
        without_fields.field_count = 0;
        problem_write(&out->body, &without_fields);
    }
}

void http_respond_problem(struct http_exchange *exchange, const struct problem_details *details)
{
    struct connection *connection = connection_of(exchange);
    struct problem_details full = *details;
    struct http_problem_answer answer = {0};

    full.request_id = http_exchange_request_id(exchange);
    buf_init(&answer.body, PROBLEM_MAX);
    if (!write_other_problem(connection, &full, &answer))
        write_problem_json(&full, &answer);
    buf_fail(&connection->output.bytes, buf_error(&answer.body));
    http_respond(exchange, answer.status, answer.content_type, buf_text(&answer.body), answer.body.len);
    buf_deinit(&answer.body);
}

/* -- a stream */

void http_stream_begin(struct http_exchange *exchange, int status, const char *content_type)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection))
        return;
    exchange->chunked = connection->incoming->request.minor == 1;
    exchange->takes_space = content_type && strncmp(content_type, EVENT_STREAM, strlen(EVENT_STREAM)) != 0;
    if (!exchange->chunked)
        connection->close_after_answer = true;
    write_response_head(connection, status, content_type, LENGTH_UNKNOWN);
    connection_begin_stream(connection);
}

void http_stream_begin_sized(struct http_exchange *exchange, int status, const char *content_type, int64_t length)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open && !exchange->head_only);
    if (is_closed(connection))
        return;
    exchange->sized = true;
    write_response_head(connection, status, content_type, length);
    connection_begin_stream(connection);
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
    exchange->waits_for_room = true;
    connection_schedule_turn_end(connection_of(exchange)); /* there may be room already, and then no event follows */
}

/* Cuts a reader that is too slow. Tries to send first, because output of this turn has not been offered to the kernel yet. */
static bool can_write(struct connection *connection)
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
    struct buf *out = &connection->output.bytes;

    assert(exchange->open);
    if (!len || !can_write(connection))
        return;
    if (exchange->chunked) {
        buf_add_hex(out, len);
        buf_add(out, "\r\n", 2);
    }
    buf_add(out, bytes, len);
    if (exchange->chunked)
        buf_add(out, "\r\n", 2);
    connection_schedule_turn_end(connection);
}

void http_close_after(struct http_exchange *exchange)
{
    connection_of(exchange)->close_after_answer = true;
}

void http_stream_end(struct http_exchange *exchange)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection)) {
        release_closed(connection);
        return;
    }
    if (exchange->chunked && !exchange->head_only)
        buf_add_text(&connection->output.bytes, "0\r\n\r\n");
    connection_finish_answer(connection);
}

/* -- raw control */

void http_raw_write(struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (!can_write(connection))
        return;
    if (connection->state == CONNECTION_HANDLING) {
        connection->close_after_answer = true;
        connection_begin_stream(connection);
    }
    buf_add(&connection->output.bytes, bytes, len);
    connection_schedule_turn_end(connection);
}

void http_abort(struct http_exchange *exchange, enum http_abort how)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open);
    if (is_closed(connection)) {
        release_closed(connection);
        return;
    }
    *exchange = (struct http_exchange){0};
    connection_abort(connection, how == HTTP_ABORT_RST ? END_RST : END_FIN);
}

/* -- from a complete request to its handler */

/* The id is copied into headers, JSON and log lines, so only bytes that need no escaping in any of them are accepted. */
static bool is_harmless_id(struct http_text id)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._:-";

    if (!id.data || !id.len || id.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!memchr(allowed, id.data[i], sizeof(allowed) - 1))
            return false;
    return true;
}

static void choose_request_id(struct incoming_request *incoming)
{
    struct http_text id = http_request_header(&incoming->request, "X-Request-Id");

    if (is_harmless_id(id)) {
        memcpy(incoming->request_id, id.data, id.len);
        incoming->request_id[id.len] = '\0';
    } else {
        random_hex(incoming->request_id, RANDOM_ID_BYTES);
    }
}

static void add_allow(struct connection *connection, unsigned allowed)
{
    struct buf list;

    buf_init(&list, 256);
    for (int method = 0; method < HTTP_METHOD_COUNT; method++)
        if (allowed & 1u << method)
            buf_addf(&list, "%s%s", list.len ? ", " : "", http_method_name((enum http_method)method));
    http_add_header(&connection->exchange, "Allow", buf_text(&list));
    buf_fail(&connection->incoming->headers, buf_error(&list));
    buf_deinit(&list);
}

static void answer_without_route(struct connection *connection, unsigned allowed)
{
    struct http_exchange *exchange = &connection->exchange;

    if (!allowed) {
        http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_NOT_FOUND});
        return;
    }
    add_allow(connection, allowed);
    if (connection->incoming->request.method == HTTP_OPTIONS)
        http_respond(exchange, 204, NULL, NULL, 0);
    else
        http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_METHOD_NOT_ALLOWED});
}

/* A segment that is badly encoded or too long stays encoded, so it matches no id. */
static struct http_text decode_segment(struct incoming_request *incoming, struct http_text segment)
{
    if (!segment.len || !memchr(segment.data, '%', segment.len) ||
        !http_text_decode(segment, incoming->segment_buf, sizeof(incoming->segment_buf)))
        return segment;
    return (struct http_text){incoming->segment_buf, strlen(incoming->segment_buf)};
}

static void run_handler(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    struct incoming_request *incoming = connection->incoming;
    const struct http_route_match *match = &incoming->match;

    incoming->segment = decode_segment(incoming, match->segment);
    if (match->route)
        match->route->handler(&connection->exchange, config->arg);
    else
        answer_without_route(connection, match->allowed);
}

static void exchange_on_request(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    struct http_exchange *exchange = &connection->exchange;
    struct incoming_request *incoming = connection->incoming;

    incoming->match = http_route_find((struct http_route_table){config->routes, config->route_count},
                                      incoming->request.method, incoming->request.path);
    choose_request_id(incoming);
    if (config->on_request)
        config->on_request(exchange, config->arg);
    if (exchange->open && !exchange->held) /* else the hook has answered or suspended it */
        run_handler(connection);
}

static void exchange_on_half_closed(struct connection *connection)
{
    const char *text = connection->set->config->half_close_text;

    if (!text || !connection->exchange.open || connection->exchange.sized)
        return;
    if (connection->exchange.takes_space)
        text = " ";
    http_stream_write(&connection->exchange, text, strlen(text));
}

void http_body_take(struct http_exchange *exchange, const struct http_body_sink *sink, int64_t body_max)
{
    struct connection *connection = connection_of(exchange);

    assert(exchange->open && exchange->on_closed && !connection->incoming->is_taken);
    connection->incoming->sink = *sink;
    connection_take_body(connection, body_max);
}

void http_body_pause(struct http_exchange *exchange)
{
    connection_of(exchange)->incoming->is_paused = true;
}

void http_body_resume(struct http_exchange *exchange)
{
    connection_of(exchange)->incoming->is_paused = false;
    connection_schedule_turn_end(connection_of(exchange));
}

void http_exchange_close_on_fin(struct http_exchange *exchange)
{
    exchange->half_close_is_gone = true;
}

void http_exchange_on_delivered(struct http_exchange *exchange, void (*done)(bool whole, void *arg), void *arg)
{
    connection_watch_delivery(connection_of(exchange), done, arg);
}

void http_exchange_hold(struct http_exchange *exchange)
{
    exchange->held = true;
}

void http_exchange_resume(struct http_exchange *exchange)
{
    assert(exchange->open && exchange->held);
    exchange->held = false;
    exchange->on_closed = NULL;
    run_handler(container_of(exchange, struct connection, exchange));
}

static void run_refusal_hook(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    const struct buf *input = &connection->incoming->input;

    if (config->on_refusal)
        config->on_refusal(&connection->exchange, (struct http_text){buf_text(input), input->len}, config->arg);
}

static void exchange_on_refused(struct connection *connection, enum problem problem, const char *detail)
{
    const struct http_parser *parser = &connection->incoming->parser;
    struct http_exchange *exchange = &connection->exchange;

    /* Nothing of a refused request is trusted, not even its X-Request-Id. Only the hook sees the bytes of its head. */
    connection->incoming->request = (struct http_request){0};
    connection->incoming->match = (struct http_route_match){0};
    buf_clear(&connection->incoming->headers);
    choose_request_id(connection->incoming);
    *exchange = (struct http_exchange){.open = true};
    exchange->head_only = parser->has_request_line && parser->method == HTTP_HEAD;
    if (problem_status(problem) == 503)
        http_add_header(exchange, "Retry-After", RETRY_AFTER);
    run_refusal_hook(connection);
    http_respond_problem(exchange, &(struct problem_details){.problem = problem, .detail = detail});
}

void http_exchange_attach(struct connection_set *set)
{
    set->on_request = exchange_on_request;
    set->on_refused = exchange_on_refused;
    set->on_half_closed = exchange_on_half_closed;
}
