#include "common/redis/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/decimal.h"

enum { PROGRESS = 16 * 1024 };

void pipeline_init(struct pipeline *pipeline, const struct pipeline_events *events, void *arg)
{
    *pipeline = (struct pipeline){.events = *events, .arg = arg};
    TAILQ_INIT(&pipeline->waiting);
}

/* -- Commands */

static void pipeline_write_header(struct buf *out, char type, size_t value)
{
    char line[1 + DECIMAL_SIZE + 2] = {type};
    size_t len = 1 + decimal_write(line + 1, (int64_t)value);

    line[len] = '\r';
    line[len + 1] = '\n';
    buf_add(out, line, len + 2);
}

/* An array of bulk strings. On an error nothing of it stays in `out`: half a command would desynchronise the connection. */
static int pipeline_write(struct buf *out, const struct redis_command *command)
{
    size_t before = out->len;
    int err;

    pipeline_write_header(out, '*', (size_t)command->argc);
    for (int i = 0; i < command->argc; i++) {
        pipeline_write_header(out, '$', command->lengths[i]);
        buf_add(out, command->argv[i], command->lengths[i]);
        buf_add(out, "\r\n", 2);
    }
    err = buf_error(out);
    if (err)
        buf_truncate(out, before);
    return err;
}

int pipeline_send(struct pipeline *pipeline, struct buf *out, const struct redis_command *command, enum call_kind kind,
                  int64_t due_ms, struct redis_call **call)
{
    const struct redis_call *last = TAILQ_LAST(&pipeline->waiting, call_list);
    struct redis_call *added = calloc(1, sizeof(*added));
    int err = added ? pipeline_write(out, command) : ERR_NO_MEMORY;

    if (err) {
        free(added);
        return err;
    }
    added->kind = kind;
    added->replies = kind == CALL_COMMAND ? 1 : (size_t)command->argc - 1;
    added->drop = command->drop;
    added->due_ms = last && last->due_ms > due_ms ? last->due_ms : due_ms;
    TAILQ_INSERT_TAIL(&pipeline->waiting, added, link);
    *call = added;
    return 0;
}

void pipeline_cancel(struct redis_call *call)
{
    call->done = NULL;
    call->drop = NULL;
}

static void pipeline_remove(struct pipeline *pipeline, struct redis_call *call)
{
    TAILQ_REMOVE(&pipeline->waiting, call, link);
    free(call);
}

/* Frees the call before its callback runs, which may change the list. */
static void pipeline_finish(struct pipeline *pipeline, struct redis_call *call, const redisReply *reply, int err)
{
    redis_reply_fn *done = call->done;
    void *arg = call->arg;

    pipeline_remove(pipeline, call);
    if (done)
        done(reply, err, arg);
}

/* -- Replies */

/* A push message is an array of three: its kind, the channel, and a payload or a count. */
static bool pipeline_is_push(const redisReply *reply, const char *kind)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_STRING && !strcmp(reply->element[0]->str, kind);
}

static int pipeline_confirm(struct pipeline *pipeline, struct redis_call *call, const redisReply *reply)
{
    const char *expected = call->kind == CALL_SUBSCRIBE ? "subscribe" : "unsubscribe";
    bool notify = call->kind == CALL_SUBSCRIBE && pipeline->events.on_subscribed;

    if (reply->type == REDIS_REPLY_ERROR)
        return ERR_REFUSED;
    if (!pipeline_is_push(reply, expected) || reply->element[2]->type != REDIS_REPLY_INTEGER)
        return ERR_SYNTAX;
    pipeline->subscribed = true;
    if (--call->replies == 0)
        pipeline_remove(pipeline, call);
    if (notify)
        pipeline->events.on_subscribed(reply->element[1]->str, pipeline->arg);
    return 0;
}

int pipeline_reply(struct pipeline *pipeline, const redisReply *reply)
{
    struct redis_call *call = TAILQ_FIRST(&pipeline->waiting);

    if (pipeline->subscribed && pipeline_is_push(reply, "message") && reply->element[2]->type == REDIS_REPLY_STRING) {
        if (pipeline->events.on_message)
            pipeline->events.on_message(reply->element[1]->str, reply->element[2]->str, (size_t)reply->element[2]->len,
                                        pipeline->arg);
        return 0;
    }
    if (!call)
        return ERR_SYNTAX;
    if (call->kind != CALL_COMMAND)
        return pipeline_confirm(pipeline, call, reply);
    pipeline_finish(pipeline, call, reply, 0);
    return 0;
}

/* -- Deadlines */

bool pipeline_received(struct pipeline *pipeline, size_t len)
{
    pipeline->received += len;
    if (pipeline->received < PROGRESS)
        return false;
    pipeline->received = 0;
    return true;
}

void pipeline_extend(struct pipeline *pipeline, int64_t to_ms)
{
    pipeline->extended_to_ms = to_ms;
}

int64_t pipeline_due_ms(const struct pipeline *pipeline)
{
    const struct redis_call *first = TAILQ_FIRST(&pipeline->waiting);

    if (!first)
        return 0;
    return first->due_ms > pipeline->extended_to_ms ? first->due_ms : pipeline->extended_to_ms;
}

/* -- The end of the connection */

static void pipeline_reset(struct pipeline *pipeline)
{
    pipeline->subscribed = false;
    pipeline->received = 0;
    pipeline->extended_to_ms = 0;
}

void pipeline_fail(struct pipeline *pipeline, int first, int rest)
{
    struct redis_call *call;

    pipeline_reset(pipeline);
    for (int err = first; (call = TAILQ_FIRST(&pipeline->waiting)); err = rest)
        pipeline_finish(pipeline, call, NULL, err); /* NOLINT(clang-analyzer-unix.Malloc): it has left the list */
}

void pipeline_drop(struct pipeline *pipeline)
{
    struct redis_call *call;

    pipeline_reset(pipeline);
    while ((call = TAILQ_FIRST(&pipeline->waiting))) {
        if (call->drop) /* NOLINT(clang-analyzer-unix.Malloc): the last one has left the list */
            call->drop(call->arg);
        pipeline_remove(pipeline, call);
    }
}
