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
    struct gather_question question;
    struct script_run *run; /* one of them, while it is under way */
    struct redis_call *call;
};

struct gather {
    struct http_exchange *exchange;
    struct redis *redis;
    int64_t began_us;
    struct gather_notes notes;
    struct asked asked[GATHER_MAX];
    size_t count, next, open; /* asked[next] is the first one that was not asked yet */
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
    return asked->question.words ? reply->type != REDIS_REPLY_ERROR : script_answer(reply)[0];
}

static int ask_next(struct gather *gather);

static void finish(struct gather *gather)
{
    buf_add_char(&gather->body, '}');
    answer_json(gather->exchange, 200, &gather->body);
    destroy(gather);
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
    if (err || (refused && !asked->question.optional)) {
        fail(gather);
        return;
    }
    if (body->len > 1)
        buf_add_char(body, ',');
    gather->notes.took_us = clock_monotonic_us() - gather->began_us;
    asked->question.write(body, refused ? NULL : reply, &gather->notes);
    if (gather->open)
        return;
    if (gather->next == gather->count)
        finish(gather);
    else if (ask_next(gather))
        fail(gather);
}

static int ask_next(struct gather *gather)
{
    struct asked *asked = &gather->asked[gather->next++];
    const struct gather_question *question = &asked->question;
    struct script_call call = {.script = question->script, .prefix = question->prefix};
    int err = question->words ? redis_send_words(gather->redis, question->words, on_reply, asked, &asked->call)
                              : script_run(gather->redis, &call, on_reply, asked, &asked->run);

    gather->open += !err;
    return err;
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
    gather->redis = redis;
    gather->began_us = clock_monotonic_us();
    gather->count = count;
    buf_init(&gather->body, ANSWER_MAX);
    buf_add_char(&gather->body, '{');
    buf_add(&gather->body, buf_text(head), head->len);
    buf_fail(&gather->body, buf_error(head));
    for (size_t i = 0; i < count; i++)
        gather->asked[i] = (struct asked){.gather = gather, .question = questions[i]};
    while (gather->next < count && !(questions[gather->next].last && gather->next))
        if (ask_next(gather)) {
            fail(gather);
            return;
        }
    http_exchange_on_closed(exchange, on_client_gone, gather);
}
