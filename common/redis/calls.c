#include "common/redis/calls.h"

#include <stdlib.h>
#include <string.h>

void calls_init(struct calls *calls)
{
    TAILQ_INIT(&calls->waiting);
    calls->subscribed = false;
}

struct redis_call *calls_add(struct calls *calls, enum call_kind kind, int64_t due_ms)
{
    const struct redis_call *ahead = TAILQ_LAST(&calls->waiting, call_list);
    struct redis_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->kind = kind;
    call->replies = 1;
    call->due_ms = ahead && ahead->due_ms > due_ms ? ahead->due_ms : due_ms;
    TAILQ_INSERT_TAIL(&calls->waiting, call, link);
    return call;
}

void calls_remove(struct calls *calls, struct redis_call *call)
{
    TAILQ_REMOVE(&calls->waiting, call, link);
    free(call);
}

/* The call is gone before its callback runs, which may do anything to the list. */
static void conclude(struct calls *calls, struct redis_call *call, const redisReply *reply, int err)
{
    redis_reply_fn *done = call->done;
    void *arg = call->arg;

    calls_remove(calls, call);
    if (done)
        done(reply, err, arg);
}

/* A push message is an array of three: its kind, the channel, and a payload or a count. */
static bool is_push(const redisReply *reply, const char *kind)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_STRING && !strcmp(reply->element[0]->str, kind);
}

static int answer_subscription(struct calls *calls, struct redis_call *call, const redisReply *reply,
                               const struct redis_events *events, void *arg)
{
    const char *expected = call->kind == CALL_SUBSCRIBE ? "subscribe" : "unsubscribe";
    bool tell = call->kind == CALL_SUBSCRIBE && events->on_subscribed;

    if (reply->type == REDIS_REPLY_ERROR)
        return ERR_REFUSED;
    if (!is_push(reply, expected) || reply->element[2]->type != REDIS_REPLY_INTEGER)
        return ERR_SYNTAX;
    calls->subscribed = true;
    if (--call->replies == 0)
        calls_remove(calls, call);
    if (tell)
        events->on_subscribed(reply->element[1]->str, arg);
    return 0;
}

int calls_answer(struct calls *calls, const redisReply *reply, const struct redis_events *events, void *arg)
{
    struct redis_call *call = TAILQ_FIRST(&calls->waiting);

    if (calls->subscribed && is_push(reply, "message") && reply->element[2]->type == REDIS_REPLY_STRING) {
        if (events->on_message)
            events->on_message(reply->element[1]->str, reply->element[2]->str, (size_t)reply->element[2]->len, arg);
        return 0;
    }
    if (!call)
        return ERR_SYNTAX;
    if (call->kind != CALL_COMMAND)
        return answer_subscription(calls, call, reply, events, arg);
    conclude(calls, call, reply, 0);
    return 0;
}

void calls_fail(struct calls *calls, int first, int rest)
{
    struct redis_call *call;

    for (int err = first; (call = TAILQ_FIRST(&calls->waiting)); err = rest)
        conclude(calls, call, NULL, err); /* NOLINT(clang-analyzer-unix.Malloc): it has left the list */
}

void calls_forget(struct calls *calls)
{
    struct redis_call *call;

    while ((call = TAILQ_FIRST(&calls->waiting))) {
        if (call->forgotten) /* NOLINT(clang-analyzer-unix.Malloc): the last one has left the list */
            call->forgotten(call->arg);
        calls_remove(calls, call);
    }
}
