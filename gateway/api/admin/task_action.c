#include "gateway/api/admin/task_action.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "gateway/api/context.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 };

/* The full id in the path, "<client>.<task_id>". False: it is invalid, and the exchange was answered with 404. */
static bool read_id(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE])
{
    struct http_text segment = http_exchange_segment(exchange);
    const char *dot = memchr(segment.data, '.', segment.len);
    size_t client = dot ? (size_t)(dot - segment.data) : 0;

    if (client && client <= TASK_CLIENT_MAX && task_id_is_valid(dot + 1, segment.len - client - 1)) {
        memcpy(full_id, segment.data, segment.len);
        full_id[segment.len] = '\0';
        if (strspn(full_id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == client)
            return true;
    }
    respond_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
    return false;
}

void task_action_send(const struct api_context *context, struct http_exchange *exchange, enum script_id script,
                      const char *argument, redis_query_fn *answer)
{
    char full_id[TASK_FULL_ID_SIZE];

    if (read_id(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){.script = script, .full_id = full_id, .args = {argument}, .answer = answer});
}

void task_action_log(struct http_exchange *exchange, const char *what)
{
    struct http_text id = http_exchange_segment(exchange);

    log_info("admin", what, "task=%.*s request_id=%s", (int)id.len, id.data, http_exchange_request_id(exchange));
}

void task_action_respond(struct http_exchange *exchange, int http_status, enum task_state state, int64_t epoch)
{
    struct http_text id = http_exchange_segment(exchange);
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"id\":\"%.*s\",\"status\":\"%s\"", (int)id.len, id.data, task_state_name(state));
    if (epoch >= 0)
        buf_addf(&body, ",\"epoch\":%" PRId64, epoch);
    buf_add_char(&body, '}');
    respond_json(exchange, http_status, &body);
    buf_deinit(&body);
}
