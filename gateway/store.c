#include "gateway/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/server.h"
#include "common/keys.h"
#include "common/log.h"
#include "gateway/answer.h"

struct asking {
    struct http_exchange *exchange;
    struct script_run *run;
    store_answer_fn *answer;
};

static void log_refusal(const struct asking *asking, const redisReply *reply)
{
    char quoted[256];

    if (reply && reply->type == REDIS_REPLY_ERROR)
        log_warn("store", "Redis refused", "request_id=%s error=%s", http_exchange_request_id(asking->exchange),
                 log_quote(quoted, sizeof(quoted), reply->str));
}

static void on_reply(const redisReply *reply, int err, void *arg)
{
    struct asking *asking = arg;

    if (err || !script_answer(reply)[0]) {
        log_refusal(asking, reply);
        answer_problem(asking->exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    } else {
        asking->answer(asking->exchange, reply);
    }
    free(asking);
}

static void on_client_gone(void *arg)
{
    struct asking *asking = arg;

    script_cancel(asking->run);
    free(asking);
}

static int run(struct redis *redis, const struct store_question *question, struct asking *asking)
{
    const char *full_id = question->full_id ? question->full_id : "";
    struct script_arg args[1 + STORE_ARGS_MAX];
    size_t count = 0;
    char prefix[KEYS_PREFIX_SIZE];

    if (question->full_id)
        args[count++] = SCRIPT_TEXT(full_id);
    for (size_t i = 0; i < STORE_ARGS_MAX && question->args[i]; i++)
        args[count++] = SCRIPT_TEXT(question->args[i]);
    keys_prefix(prefix, keys_partition(full_id, 1));
    return script_run(redis,
                      &(struct script_call){.script = &scripts[question->script],
                                            .prefix = question->prefix ? question->prefix : prefix,
                                            .args = args,
                                            .count = count},
                      on_reply, asking, &asking->run);
}

void store_ask(struct redis *redis, struct http_exchange *exchange, const struct store_question *question)
{
    struct asking *asking = calloc(1, sizeof(*asking));

    if (!asking) {
        answer_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    asking->exchange = exchange;
    asking->answer = question->answer;
    if (run(redis, question, asking)) {
        free(asking);
        answer_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    http_exchange_on_closed(exchange, on_client_gone, asking);
}
