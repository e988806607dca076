/* POST /admin/tasks/{id}/retry: queue a failed or cancelled task again */
#include <string.h>

#include "common/base/decimal.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/admin/task_action.h"
#include "gateway/api/context.h"
#include "gateway/response/respond.h"

static void retry_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);
    int64_t epoch;

    (void)unused;
    if (strcmp(word, "NEW") == 0) {
        task_action_log(exchange, "task queued again");
        task_action_respond(exchange, 202, TASK_QUEUED, script_int(reply, 1, &epoch) ? -1 : epoch);
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
    task_action_send(context, exchange, SCRIPT_RETRY, queue_ttl, retry_on_reply);
}
