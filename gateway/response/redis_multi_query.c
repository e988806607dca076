#include "gateway/response/redis_multi_query.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "gateway/response/respond.h"

enum { ANSWER_MAX = 1024 * 1024 };

struct asked {
    struct redis_multi_query *redis_multi_query;
    redis_query_part_fn *write;
    bool optional, is_script;
    struct script_run *run; /* one of them, while it is under way */
    struct redis_call *call;
};

struct redis_multi_query {
    struct http_exchange *exchange;
    int64_t began_us;
    struct asked asked[REDIS_QUERY_PARTS_MAX];
    size_t count, open;
    struct buf body;
};

static void destroy(struct redis_multi_query *redis_multi_query)
{
    for (size_t i = 0; i < redis_multi_query->count; i++) {
        if (redis_multi_query->asked[i].run)
            script_cancel(redis_multi_query->asked[i].run);
        if (redis_multi_query->asked[i].call)
            redis_cancel(redis_multi_query->asked[i].call);
    }
    buf_deinit(&redis_multi_query->body);
    free(redis_multi_query);
}

static void fail(struct redis_multi_query *redis_multi_query)
{
    respond_problem(redis_multi_query->exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    destroy(redis_multi_query);
}

/* A script answers with an array that begins with a word, a command with anything but an error. */
static bool has_shape(const struct asked *asked, const redisReply *reply)
{
    return asked->is_script ? script_answer(reply)[0] : reply->type != REDIS_REPLY_ERROR;
}

static void on_reply(const redisReply *reply, int err, void *arg)
{
    struct asked *asked = arg;
    struct redis_multi_query *redis_multi_query = asked->redis_multi_query;
    struct buf *body = &redis_multi_query->body;

    bool refused = !err && !has_shape(asked, reply);

    asked->run = NULL;
    asked->call = NULL;
    redis_multi_query->open--;
    if (err || (refused && !asked->optional)) {
        fail(redis_multi_query);
        return;
    }
    if (body->len > 1)
        buf_add_char(body, ',');
    asked->write(body, refused ? NULL : reply, clock_monotonic_us() - redis_multi_query->began_us);
    if (redis_multi_query->open)
        return;
    buf_add_char(body, '}');
    respond_json(redis_multi_query->exchange, 200, body);
    destroy(redis_multi_query);
}

static int ask(struct redis *redis, const struct redis_query_part *question, struct asked *asked)
{
    asked->write = question->write;
    asked->optional = question->optional;
    asked->is_script = !question->words;
    if (question->words)
        return redis_send_words(redis, question->words, on_reply, asked, &asked->call);
    return script_run(redis, &(struct script_call){.script = question->script, .prefix = question->prefix}, on_reply,
                      asked, &asked->run);
}

static void on_client_gone(void *arg)
{
    destroy(arg);
}

void redis_multi_query_send(struct redis *redis, struct http_exchange *exchange,
                            const struct redis_query_part *questions, size_t count, const struct buf *head)
{
    struct redis_multi_query *redis_multi_query = calloc(1, sizeof(*redis_multi_query));

    if (!redis_multi_query) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    redis_multi_query->exchange = exchange;
    redis_multi_query->began_us = clock_monotonic_us();
    redis_multi_query->count = count;
    buf_init(&redis_multi_query->body, ANSWER_MAX);
    buf_add_char(&redis_multi_query->body, '{');
    buf_add(&redis_multi_query->body, buf_text(head), head->len);
    buf_fail(&redis_multi_query->body, buf_error(head));
    for (size_t i = 0; i < count; i++) {
        redis_multi_query->asked[i].redis_multi_query = redis_multi_query;
        if (ask(redis, &questions[i], &redis_multi_query->asked[i])) {
            fail(redis_multi_query);
            return;
        }
        redis_multi_query->open++;
    }
    http_exchange_on_closed(exchange, on_client_gone, redis_multi_query);
}
