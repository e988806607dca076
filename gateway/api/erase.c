/* DELETE /tasks/{id}: a task that has ended goes, with all that is kept of it */
#include <string.h>

#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/api/task_path.h"
#include "gateway/gateway.h"
#include "gateway/store.h"

static void on_answer(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const char *word = script_answer(reply);

    (void)arg;
    if (strcmp(word, "ERASED") == 0)
        http_respond(exchange, 204, NULL, NULL, 0);
    else
        answer_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_erase(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (task_path_read(exchange, full_id))
        store_ask(gateway->commands, exchange,
                  &(struct store_question){.script = SCRIPT_ERASE, .full_id = full_id, .answer = on_answer});
}
