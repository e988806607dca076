#include "gateway/gather.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "gateway/answer.h"

enum { ANSWER_MAX = 1024 * 1024 };

struct asked {
    struct gather *gather;
    gather_write_fn *write;
    bool optional, is_script;
    struct script_run *run; /* one of them, while it is under way */
    struct redis_call *call;
};

struct gather {
    struct http_exchange *exchange;
    int64_t began_us;
    struct asked asked[GATHER_MAX];
    size_t count, open;
    struct buf body;
};

static void destroy(struct gather *gather)
{
    for (size_t i = 0; i < gather->count; i++) {
        if (gather->asked[i].run)
            script_cancel(gather->asked[i].run);
        if (gather->asked[i].call)
            redis_cancel(gather->asked[i].call);
    }
    buf_deinit(&gather->body);
    free(gather);
}

static void fail(struct gather *gather)
{
    answer_problem(gather->exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    destroy(gather);
}

/* A script answers with an array that begins with a word, a command with anything but an error. */
static bool has_shape(const struct asked *asked, const redisReply *reply)
{
    return asked->is_script ? script_answer(reply)[0] : reply->type != REDIS_REPLY_ERROR;
}

static void on_reply(const redisReply *reply, int err, void *arg)
{
    struct asked *asked = arg;
    struct gather *gather = asked->gather;
    struct buf *body = &gather->body;

    bool refused = !err && !has_shape(asked, reply);

    asked->run = NULL;
    asked->call = NULL;
    gather->open--;
    if (err || (refused && !asked->optional)) {
        fail(gather);
        return;
    }
    if (body->len > 1)
        buf_add_char(body, ',');
    asked->write(body, refused ? NULL : reply, clock_monotonic_us() - gather->began_us);
    if (gather->open)
        return;
    buf_add_char(body, '}');
    answer_json(gather->exchange, 200, body);
    destroy(gather);
}

static int ask(struct redis *redis, const struct gather_question *question, struct asked *asked)
{
    asked->write = question->write;
    asked->optional = question->optional;
    asked->is_script = !question->words;
    if (question->words)
        return redis_send_words(redis, question->words, on_reply, asked, &asked->call);
    return script_run(redis, &(struct script_call){.script = &scripts[question->script], .prefix = question->prefix},
                      on_reply, asked, &asked->run);
}

static void on_client_gone(void *arg)
{
    destroy(arg);
}

void gather_ask(struct redis *redis, struct http_exchange *exchange, const struct gather_question *questions,
                size_t count, const struct buf *head)
{
    struct gather *gather = calloc(1, sizeof(*gather));

    if (!gather) {
        answer_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    gather->exchange = exchange;
    gather->began_us = clock_monotonic_us();
    gather->count = count;
    buf_init(&gather->body, ANSWER_MAX);
    buf_add_char(&gather->body, '{');
    buf_add(&gather->body, buf_text(head), head->len);
    buf_fail(&gather->body, buf_error(head));
    for (size_t i = 0; i < count; i++) {
        gather->asked[i].gather = gather;
        if (ask(redis, &questions[i], &gather->asked[i])) {
            fail(gather);
            return;
        }
        gather->open++;
    }
    http_exchange_on_closed(exchange, on_client_gone, gather);
}
