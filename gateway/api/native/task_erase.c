/* DELETE /tasks/{id}: erase a final task and everything stored about it */
#include <string.h>

#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/task_path.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

static void erase_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);

    (void)unused;
    if (strcmp(word, "ERASED") == 0)
        http_respond(exchange, 204, NULL, NULL, 0);
    else
        respond_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_task_erase(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (task_path_read(exchange, full_id))
        redis_query_send(context->commands, exchange,
                         &(struct redis_query){.script = SCRIPT_ERASE, .full_id = full_id, .answer = erase_on_reply});
}
