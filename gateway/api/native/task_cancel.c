/* POST /tasks/{id}/cancel: a waiting task ends at once, a running one is asked to stop */
#include <string.h>

#include "common/base/buf.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/task_path.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 4096 };

static void respond_state(struct http_exchange *exchange, int status, enum task_state state)
{
    struct http_text segment = http_exchange_segment(exchange);
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"task_id\":\"%.*s\",\"status\":\"%s\"}", (int)segment.len, segment.data, task_state_name(state));
    respond_json(exchange, status, &body);
    buf_deinit(&body);
}

static void cancel_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);

    (void)unused;
    if (strcmp(word, "CANCELLED") == 0)
        respond_state(exchange, 200, TASK_CANCELLED);
    else if (strcmp(word, "ASKED") == 0)
        respond_state(exchange, 202, TASK_RUNNING);
    else
        respond_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_task_cancel(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (task_path_read(exchange, full_id))
        redis_query_send(context->commands, exchange,
                         &(struct redis_query){
                             .script = SCRIPT_CANCEL, .full_id = full_id, .args = {"any"}, .answer = cancel_on_reply});
}
