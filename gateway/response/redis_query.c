#include "gateway/response/redis_query.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/http/server.h"
#include "common/task/keys.h"
#include "gateway/response/respond.h"

/* A query that is on its way. */
struct pending_query {
    struct http_exchange *exchange;
    struct script_run *run;
    redis_query_fn *answer;
    void *arg;
};

static void log_error_reply(const struct pending_query *pending, const redisReply *reply)
{
    char quoted[256];

    if (reply && reply->type == REDIS_REPLY_ERROR)
        log_warn("redis_query", "Redis returned an error", "request_id=%s error=%s",
                 http_exchange_request_id(pending->exchange), log_quote(quoted, sizeof(quoted), reply->str));
}

static void pending_query_on_reply(const redisReply *reply, int err, void *arg)
{
    struct pending_query *pending = arg;

    if (err || !script_answer(reply)[0]) {
        log_error_reply(pending, reply);
        respond_problem(pending->exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    } else {
        pending->answer(pending->exchange, reply, pending->arg);
    }
    free(pending);
}

static void pending_query_on_closed(void *arg)
{
    struct pending_query *pending = arg;

    script_cancel(pending->run);
    free(pending);
}

static int send_script(struct redis *redis, const struct redis_query *query, struct pending_query *pending)
{
    const char *full_id = query->full_id ? query->full_id : "";
    struct script_arg args[1 + REDIS_QUERY_ARGS_MAX];
    size_t count = 0;
    char prefix[KEYS_PREFIX_SIZE];

    if (query->full_id)
        args[count++] = SCRIPT_TEXT(full_id);
    for (size_t i = 0; i < REDIS_QUERY_ARGS_MAX && query->args[i]; i++)
        args[count++] = SCRIPT_TEXT(query->args[i]);
    keys_task_prefix(prefix, full_id);
    return script_run(redis,
                      &(struct script_call){.script = &scripts[query->script],
                                            .prefix = query->prefix ? query->prefix : prefix,
                                            .args = args,
                                            .count = count},
                      pending_query_on_reply, pending, &pending->run);
}

void redis_query_send(struct redis *redis, struct http_exchange *exchange, const struct redis_query *query)
{
    struct pending_query *pending = calloc(1, sizeof(*pending));

    if (!pending) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    pending->exchange = exchange;
    pending->answer = query->answer;
    pending->arg = query->arg;
    if (send_script(redis, query, pending)) {
        free(pending);
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    http_exchange_on_closed(exchange, pending_query_on_closed, pending);
}
