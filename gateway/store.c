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

void store_ask(struct redis *redis, struct http_exchange *exchange, const struct store_question *question)
{
    struct asking *asking = calloc(1, sizeof(*asking));
    const char *full_id = question->full_id ? question->full_id : "";
    const char *mode = question->mode ? question->mode : "";
    const struct script_arg args[] = {SCRIPT_TEXT(full_id), SCRIPT_TEXT(mode)};
    char prefix[KEYS_PREFIX_SIZE];

    if (!asking) {
        answer_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    asking->exchange = exchange;
    asking->answer = question->answer;
    keys_prefix(prefix, keys_partition(full_id, 1));
    if (script_run(redis,
                   &(struct script_call){.script = question->script,
                                         .prefix = prefix,
                                         .args = question->full_id ? args : args + 1,
                                         .count = (size_t)(question->full_id != NULL) + (question->mode != NULL)},
                   on_reply, asking, &asking->run)) {
        free(asking);
        answer_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    http_exchange_on_closed(exchange, on_client_gone, asking);
}
