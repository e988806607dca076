#include "common/redis/script.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/client.h"

enum { WORDS_BEFORE_ARGS = 4 }; /* EVALSHA sha1 1 prefix */

/* One block of memory: the struct, then the two arrays, then the copied bytes. */
struct script_run {
    struct redis *redis;
    const struct script *script;
    bool is_eval; /* sent as EVAL, with the script's text */
    redis_reply_fn *done;
    void *arg;
    struct redis_call *call;

    int argc;
    const char **argv;
    size_t *lengths;
};

static void script_set_word(struct script_run *run, size_t i, const char *word, size_t len)
{
    run->argv[i] = word;
    run->lengths[i] = len;
}

static struct script_run *script_create_run(const struct script_call *call)
{
    size_t words = WORDS_BEFORE_ARGS + call->count;
    size_t bytes = strlen(call->prefix);
    struct script_run *run;
    char *copy;

    for (size_t i = 0; i < call->count; i++)
        bytes += call->args[i].len;
    run = calloc(1, sizeof(*run) + words * (sizeof(run->argv[0]) + sizeof(run->lengths[0])) + bytes);
    if (!run)
        return NULL;
    run->script = call->script;
    run->argc = (int)words;
    run->argv = (const char **)(void *)(run + 1);
    run->lengths = (size_t *)(void *)(run->argv + words);
    copy = (char *)(run->lengths + words);

    script_set_word(run, 0, "EVALSHA", strlen("EVALSHA"));
    script_set_word(run, 1, run->script->sha1, strlen(run->script->sha1));
    script_set_word(run, 2, "1", 1);
    script_set_word(run, 3, copy, strlen(call->prefix));
    memcpy(copy, call->prefix, run->lengths[3]);
    copy += run->lengths[3];
    for (size_t i = 0; i < call->count; i++) {
        script_set_word(run, WORDS_BEFORE_ARGS + i, copy, call->args[i].len);
        if (call->args[i].len)
            memcpy(copy, call->args[i].data, call->args[i].len);
        copy += call->args[i].len;
    }
    return run;
}

static void script_on_reply(const redisReply *reply, int err, void *arg);

static int script_send_run(struct script_run *run)
{
    const struct redis_command command = {.argc = run->argc, .argv = run->argv, .lengths = run->lengths, .drop = free};

    return redis_send(run->redis, &command, script_on_reply, run, &run->call);
}

static bool script_is_unknown(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT"));
}

static void script_on_reply(const redisReply *reply, int err, void *arg)
{
    struct script_run *run = arg;

    if (!err && !run->is_eval && script_is_unknown(reply)) {
        run->is_eval = true;
        script_set_word(run, 0, "EVAL", strlen("EVAL"));
        script_set_word(run, 1, run->script->body, run->script->len);
        err = script_send_run(run);
        if (!err)
            return;
        reply = NULL; /* no room to send it again: the script has not run */
    }
    run->done(reply, err, run->arg);
    free(run);
}

int script_run(struct redis *redis, const struct script_call *call, redis_reply_fn *done, void *arg,
               struct script_run **out)
{
    struct script_run *run;
    int err;

    if (call->count > SCRIPT_ARGS_MAX)
        return ERR_TOO_LONG;
    run = script_create_run(call);
    if (!run)
        return ERR_NO_MEMORY;
    run->redis = redis;
    run->done = done;
    run->arg = arg;
    err = script_send_run(run);
    if (err)
        free(run);
    else if (out)
        *out = run;
    return err;
}

void script_cancel(struct script_run *run)
{
    redis_cancel(run->call);
    free(run);
}

const char *script_answer(const redisReply *reply)
{
    const char *word = script_text(reply, 0, NULL);

    return word ? word : "";
}

static const redisReply *element(const redisReply *reply, size_t i)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i] : NULL;
}

const redisReply *script_array(const redisReply *reply, size_t i)
{
    const redisReply *item = element(reply, i);

    return item && item->type == REDIS_REPLY_ARRAY ? item : NULL;
}

const char *script_text(const redisReply *reply, size_t i, size_t *len)
{
    const redisReply *item = element(reply, i);

    if (!item || (item->type != REDIS_REPLY_STRING && item->type != REDIS_REPLY_STATUS))
        return NULL;
    if (len)
        *len = (size_t)item->len;
    return item->str;
}

int script_int(const redisReply *reply, size_t i, int64_t *out)
{
    const redisReply *item = element(reply, i);
    const char *text;
    char *end;
    long long value;

    if (!item)
        return ERR_NOT_FOUND;
    if (item->type == REDIS_REPLY_INTEGER) {
        *out = item->integer;
        return 0;
    }
    text = script_text(reply, i, NULL);
    if (!text || (*text != '-' && (*text < '0' || *text > '9')))
        return ERR_SYNTAX;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end)
        return ERR_SYNTAX;
    if (errno)
        return ERR_RANGE;
    *out = value;
    return 0;
}

size_t script_field(const redisReply *reply, size_t from, const char *name)
{
    for (size_t i = from; element(reply, i); i += 2) {
        const char *text = script_text(reply, i, NULL);

        if (text && strcmp(text, name) == 0)
            return i + 1;
    }
    return 0;
}
