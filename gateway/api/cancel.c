/* POST /tasks/{id}/cancel: a waiting task ends at once, a running one is asked to end */
#include <string.h>

#include "common/buf.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/api/task_path.h"
#include "gateway/gateway.h"
#include "gateway/store.h"

enum { ANSWER_MAX = 4096 };

static void answer_state(struct http_exchange *exchange, int status, enum task_state state)
{
    struct http_text segment = http_exchange_segment(exchange);
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    buf_addf(&body, "{\"task_id\":\"%.*s\",\"status\":\"%s\"}", (int)segment.len, segment.data, task_state_name(state));
    answer_json(exchange, status, &body);
    buf_deinit(&body);
}

static void on_answer(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const char *word = script_answer(reply);

    (void)arg;
    if (strcmp(word, "CANCELLED") == 0)
        answer_state(exchange, 200, TASK_CANCELLED);
    else if (strcmp(word, "ASKED") == 0)
        answer_state(exchange, 202, TASK_RUNNING);
    else
        answer_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_cancel(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (task_path_read(exchange, full_id))
        store_ask(gateway->commands, exchange,
                  &(struct store_question){
                      .script = SCRIPT_CANCEL, .full_id = full_id, .args = {"any"}, .answer = on_answer});
}
