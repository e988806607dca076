/* DELETE /admin/tasks/{id}: erase a final task of any client */
#include <string.h>

#include "common/http/server.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/admin/task_action.h"
#include "gateway/response/respond.h"

static void erase_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);

    (void)unused;
    if (strcmp(word, "ERASED") == 0) {
        task_action_log(exchange, "task erased");
        http_respond(exchange, 204, NULL, NULL, 0);
    } else {
        respond_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_erase(struct http_exchange *exchange, void *arg)
{
    task_action_send(arg, exchange, SCRIPT_ERASE, NULL, erase_on_reply);
}
