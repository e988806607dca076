#include "common/http/dispatch.h"

#include <assert.h>
#include <string.h>

#include "common/random.h"

enum { RANDOM_ID_BYTES = 16 };

#define RETRY_AFTER "1" /* seconds */

/* A client's id is repeated in headers, bodies and logs, so only what is harmless in all of them passes. */
static bool is_sane_id(struct http_text id)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._:-";

    if (!id.data || !id.len || id.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!memchr(allowed, id.data[i], sizeof(allowed) - 1))
            return false;
    return true;
}

static void choose_request_id(struct incoming *incoming)
{
    struct http_text id = http_request_header(&incoming->request, "X-Request-Id");

    if (is_sane_id(id)) {
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
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_NOT_FOUND});
        return;
    }
    add_allow(connection, allowed);
    if (connection->incoming->request.method == HTTP_OPTIONS)
        http_respond(exchange, 204, NULL, NULL, 0);
    else
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_METHOD_NOT_ALLOWED});
}

/* What is badly encoded, or too long, stays as it came: no name is spelled so. */
static struct http_text decoded(struct incoming *incoming, struct http_text segment)
{
    if (!segment.len || !memchr(segment.data, '%', segment.len) ||
        !http_text_decode(segment, incoming->decoded, sizeof(incoming->decoded)))
        return segment;
    return (struct http_text){incoming->decoded, strlen(incoming->decoded)};
}

static void run_handler(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    struct incoming *incoming = connection->incoming;
    const struct http_route_match *match = &incoming->match;

    incoming->segment = decoded(incoming, match->segment);
    if (match->route)
        match->route->handler(&connection->exchange, config->arg);
    else
        answer_without_route(connection, match->allowed);
}

void http_dispatch(struct connection *connection)
{
    const struct http_server_config *config = connection->set->config;
    struct http_exchange *exchange = &connection->exchange;
    struct incoming *incoming = connection->incoming;

    incoming->match = http_route_find(config, incoming->request.method, incoming->request.path);
    choose_request_id(incoming);
    if (config->on_request)
        config->on_request(exchange, config->arg);
    if (exchange->open && !exchange->held) /* else the hook has answered, or is not done */
        run_handler(connection);
}

void http_probe_client(struct connection *connection)
{
    const char *probe = connection->set->config->half_close_probe;

    if (probe && connection->exchange.open)
        http_stream_write(&connection->exchange, probe, strlen(probe));
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

void http_refuse(struct connection *connection, enum problem problem, const char *detail)
{
    const struct http_parser *parser = &connection->incoming->parser;
    struct http_exchange *exchange = &connection->exchange;

    /* Nothing else of a request that was refused is used, its id included. */
    connection->incoming->request = (struct http_request){0};
    connection->incoming->match = (struct http_route_match){0};
    choose_request_id(connection->incoming);
    *exchange = (struct http_exchange){.open = true};
    exchange->head_only = parser->has_request_line && parser->method == HTTP_HEAD;
    if (problem_status(problem) == 503)
        http_add_header(exchange, "Retry-After", RETRY_AFTER);
    http_respond_problem(exchange, &(struct problem_report){.problem = problem, .detail = detail});
}
