/* POST /tasks/{id}/cancel: a waiting task ends at once, a running one is asked to end */
#include <string.h>

#include "common/buf.h"
#include "gateway/api/native/task_path.h"
#include "gateway/gateway.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"
#include "gateway/routes.h"

enum { ANSWER_MAX = 4096 };

static void answer_state(struct http_exchange *exchange, int status, enum task_state state)
{
    struct http_text segment = http_exchange_segment(exchange);
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    buf_addf(&body, "{\"task_id\":\"%.*s\",\"status\":\"%s\"}", (int)segment.len, segment.data, task_state_name(state));
    respond_json(exchange, status, &body);
    buf_deinit(&body);
}

static void on_answer(struct http_exchange *exchange, const redisReply *reply)
{
    const char *word = script_answer(reply);

    if (strcmp(word, "CANCELLED") == 0)
        answer_state(exchange, 200, TASK_CANCELLED);
    else if (strcmp(word, "ASKED") == 0)
        answer_state(exchange, 202, TASK_RUNNING);
    else
        respond_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_cancel(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (task_path_read(exchange, full_id))
        redis_query_send(
            gateway->commands, exchange,
            &(struct redis_query){.script = SCRIPT_CANCEL, .full_id = full_id, .args = {"any"}, .answer = on_answer});
}
