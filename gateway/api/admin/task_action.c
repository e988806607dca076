#include "gateway/api/admin/task_action.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 };

/* The full id in the path, "<client>.<task_id>". False: it is invalid, and the exchange was answered with 404. */
static bool read_full_id(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE])
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

    if (read_full_id(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){.script = script, .full_id = full_id, .args = {argument}, .answer = answer});
}

static void log_action(struct http_exchange *exchange, const char *what)
{
    struct http_text id = http_exchange_segment(exchange);

    log_info("admin", what, "task=%.*s request_id=%s", (int)id.len, id.data, http_exchange_request_id(exchange));
}

/* {"id":...,"status":...} and, unless negative, "epoch". */
static void respond_action(struct http_exchange *exchange, int http_status, enum task_state state, int64_t epoch)
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

/* -- POST /admin/tasks/{id}/cancel: cancel a waiting task, ask a running one to stop */

static void task_action_on_cancelled(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);
    bool ended = strcmp(word, "CANCELLED") == 0;

    (void)unused;
    if (ended || strcmp(word, "ASKED") == 0) {
        log_action(exchange, ended ? "task cancelled" : "task asked to stop");
        respond_action(exchange, ended ? 200 : 202, ended ? TASK_CANCELLED : TASK_RUNNING, -1);
    } else {
        respond_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_cancel(struct http_exchange *exchange, void *arg)
{
    task_action_send(arg, exchange, SCRIPT_CANCEL, "any", task_action_on_cancelled);
}

/* -- DELETE /admin/tasks/{id}: erase a final task of any client */

static void task_action_on_erased(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);

    (void)unused;
    if (strcmp(word, "ERASED") == 0) {
        log_action(exchange, "task erased");
        http_respond(exchange, 204, NULL, NULL, 0);
    } else {
        respond_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_erase(struct http_exchange *exchange, void *arg)
{
    task_action_send(arg, exchange, SCRIPT_ERASE, NULL, task_action_on_erased);
}

/* -- POST /admin/tasks/{id}/retry: queue a failed or cancelled task again */

static void task_action_on_retried(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);
    int64_t epoch;

    (void)unused;
    if (strcmp(word, "NEW") == 0) {
        log_action(exchange, "task queued again");
        respond_action(exchange, 202, TASK_QUEUED, script_int(reply, 1, &epoch) ? -1 : epoch);
    } else if (strcmp(word, "LIVE") == 0) {
        respond_problem(exchange, PROBLEM_TASK_LIVE, NULL);
    } else {
        respond_problem(exchange, strcmp(word, "DONE") == 0 ? PROBLEM_TASK_NOT_FAILED : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_retry(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char queue_ttl[DECIMAL_SIZE];

    (void)decimal_write(queue_ttl, context->queue_ttl_ms);
    task_action_send(context, exchange, SCRIPT_RETRY, queue_ttl, task_action_on_retried);
}
