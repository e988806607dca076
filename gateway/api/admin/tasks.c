/* GET /admin/tasks: tasks of all clients, by state, in pages */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/task.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/admin/task_row.h"
#include "gateway/api/context.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024, PAGE = 50, PAGE_MAX = 200 };

/* -- the response */

static void write_list(struct buf *out, const redisReply *reply)
{
    const redisReply *row;
    size_t len;
    const char *next = script_text(reply, 1, &len);

    buf_add_text(out, "{\"tasks\":[");
    for (size_t i = 2; (row = script_array(reply, i)); i++) {
        buf_add_text(out, i > 2 ? ",{" : "{");
        task_row_write(out, row);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "],\"next\":");
    if (next && len)
        buf_add_json(out, next, len);
    else
        buf_add_text(out, "null");
    buf_add_char(out, '}');
}

static void tasks_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    if (strcmp(script_answer(reply), "TASKS") != 0) {
        respond_problem(exchange, PROBLEM_INVALID_QUERY, "cursor: not a cursor of this list.");
        return;
    }
    buf_init(&body, RESPONSE_MAX);
    write_list(&body, reply);
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

/* -- the query */

struct query_parameter {
    const char *name;
    char *out;   /* not changed if the parameter is absent */
    size_t size; /* of `out`, NUL included */
};

/* The index of the parameter that "name" or "name=value" sets; `count` if it is unknown. */
static size_t find_parameter(struct http_text item, const struct query_parameter *parameters, size_t count)
{
    const char *equals = memchr(item.data, '=', item.len);
    struct http_text name = {item.data, equals ? (size_t)(equals - item.data) : item.len};

    for (size_t i = 0; i < count; i++)
        if (http_text_is(name, parameters[i].name))
            return i;
    return count;
}

static const char *read_each_parameter(const struct http_request *request, const struct query_parameter *parameters,
                                       size_t count)
{
    const char *at = request->query.data, *end = at + request->query.len;
    unsigned seen = 0;

    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        struct http_text item = {at, (size_t)((next ? next : end) - at)};
        size_t i = find_parameter(item, parameters, count);

        if (i == count)
            return "This address does not take one of these parameters.";
        if (seen & 1u << i)
            return "A parameter is given twice.";
        if (!http_request_query(request, parameters[i].name, parameters[i].out, parameters[i].size))
            return "A parameter is too long, or not well encoded.";
        seen |= 1u << i;
        at += item.len + 1;
    }
    return NULL;
}

/* False: a parameter is unknown, repeated, too long or badly encoded, and the exchange was answered with 400. */
static bool read_parameters(struct http_exchange *exchange, const struct query_parameter *parameters, size_t count)
{
    const struct http_request *request = http_exchange_request(exchange);
    const char *why = request->query.len ? read_each_parameter(request, parameters, count) : NULL;

    if (why)
        respond_problem(exchange, PROBLEM_INVALID_QUERY, why);
    return !why;
}

static bool is_state(const char *state)
{
    static const char *const names[] = {"queued", "delayed",   "running", "live", "done",
                                        "failed", "cancelled", "ended",   "dead"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(names[i], state) == 0)
            return true;
    return false;
}

static bool is_page_size(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strtol(text, NULL, 10) >= 1 &&
           strtol(text, NULL, 10) <= PAGE_MAX;
}

/* -- the request */

void api_admin_tasks(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char state[16] = "live", cursor[TASK_FULL_ID_SIZE + 32] = "", limit[8], search[TASK_FULL_ID_SIZE] = "";
    const struct query_parameter parameters[] = {
        {"state",  state,  sizeof(state) },
        {"cursor", cursor, sizeof(cursor)},
        {"limit",  limit,  sizeof(limit) },
        {"q",      search, sizeof(search)},
    };

    (void)snprintf(limit, sizeof(limit), "%d", PAGE);
    if (!read_parameters(exchange, parameters, ARRAY_LENGTH(parameters)))
        return;
    if (!is_state(state))
        respond_problem(exchange, PROBLEM_INVALID_QUERY,
                        "state: queued, delayed, running, live, done, failed, cancelled, ended or dead.");
    else if (!is_page_size(limit))
        respond_problem(exchange, PROBLEM_INVALID_QUERY, "limit: 1 to 200.");
    else
        redis_query_send(context->commands, exchange,
                         &(struct redis_query){
                             .script = SCRIPT_TASKS, .args = {state, cursor, limit, search},
                                  .answer = tasks_on_reply
        });
}
