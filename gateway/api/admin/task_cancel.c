/* POST /admin/tasks/{id}/cancel: cancel a waiting task, ask a running one to stop */
#include <stdbool.h>
#include <string.h>

#include "gateway/api/admin/endpoints.h"
#include "gateway/api/admin/task_action.h"
#include "gateway/response/respond.h"

static void cancel_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);
    bool ended = strcmp(word, "CANCELLED") == 0;

    (void)unused;
    if (ended || strcmp(word, "ASKED") == 0) {
        task_action_log(exchange, ended ? "task cancelled" : "task asked to stop");
        task_action_respond(exchange, ended ? 200 : 202, ended ? TASK_CANCELLED : TASK_RUNNING, -1);
    } else {
        respond_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_cancel(struct http_exchange *exchange, void *arg)
{
    task_action_send(arg, exchange, SCRIPT_CANCEL, "any", cancel_on_reply);
}
