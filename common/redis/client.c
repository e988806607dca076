#include "common/redis/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/address.h"
#include "common/redis/connection.h"

static void release(void *arg)
{
    free(arg);
}

struct redis *redis_create(struct loop *loop, const struct redis_config *config)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis)
        return NULL;
    redis->loop = loop;
    redis->config = *config;
    calls_init(&redis->calls);
    redis_address_text(config->address, redis->to, sizeof(redis->to));
    if (!redis_connection_open(redis))
        return redis;
    free(redis);
    return NULL;
}

/* The memory stays until the end of the turn: a callback of ours may be what is calling. */
struct redis *redis_destroy(struct redis *redis)
{
    if (!redis)
        return NULL;
    redis_connection_close(redis);
    loop_defer(redis->loop, &redis->release, release, redis);
    return NULL;
}

bool redis_is_ready(const struct redis *redis)
{
    return redis->state == REDIS_READY;
}

static int accept_call(struct redis_call *made, redis_reply_fn *done, void *arg, struct redis_call **call)
{
    made->done = done;
    made->arg = arg;
    if (call)
        *call = made;
    return 0;
}

int redis_send(struct redis *redis, const struct redis_command *command, redis_reply_fn *done, void *arg,
               struct redis_call **call)
{
    struct redis_call *made;
    int err;

    assert(!redis->subscriber);
    if (redis->state != REDIS_READY)
        return ERR_NOT_READY;
    err = command_send(redis, command, CALL_COMMAND, &made);
    return err ? err : accept_call(made, done, arg, call);
}

int redis_send_words(struct redis *redis, const char *const *words, redis_reply_fn *done, void *arg,
                     struct redis_call **call)
{
    struct redis_call *made;
    int err;

    assert(!redis->subscriber);
    if (redis->state != REDIS_READY)
        return ERR_NOT_READY;
    err = command_send_words(redis, words, CALL_COMMAND, &made);
    return err ? err : accept_call(made, done, arg, call);
}

void redis_cancel(struct redis_call *call)
{
    call->done = NULL;
    call->forgotten = NULL;
}

static int send_subscription(struct redis *redis, const struct redis_command *command, enum call_kind kind)
{
    struct redis_call *made;
    int err;

    if (redis->state != REDIS_READY)
        return ERR_NOT_READY;
    err = command_send(redis, command, kind, &made);
    if (err)
        return err;
    made->replies = (size_t)command->argc - 1;
    redis->subscriber = true;
    return 0;
}

int redis_subscribe(struct redis *redis, const char *channel)
{
    const char *argv[] = {"SUBSCRIBE", channel};
    const size_t lengths[] = {strlen(argv[0]), strlen(channel)};

    return send_subscription(redis, &(struct redis_command){.argc = 2, .argv = argv, .lengths = lengths},
                             CALL_SUBSCRIBE);
}

int redis_unsubscribe(struct redis *redis, const char *const *channels, size_t count)
{
    const char **argv = calloc(count + 1, sizeof(*argv));
    size_t *lengths = calloc(count + 1, sizeof(*lengths));
    struct redis_command command = {.argc = (int)count + 1, .argv = argv, .lengths = lengths};
    int err = ERR_NO_MEMORY;

    if (argv && lengths) {
        argv[0] = "UNSUBSCRIBE";
        memcpy(argv + 1, channels, count * sizeof(*channels));
        for (size_t i = 0; i <= count; i++)
            lengths[i] = strlen(argv[i]);
        err = send_subscription(redis, &command, CALL_UNSUBSCRIBE);
    }
    free(lengths);
    free(argv);
    return err;
}
