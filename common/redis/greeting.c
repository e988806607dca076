#include "common/redis/connection.h"

#include <stdio.h>
#include <string.h>

#include "common/redis/address.h"

/* Errors after which this connection, or this server for now, is of no use, whatever was asked. The connection is given up, so
 * that the next one may find a server that is up, loaded, and the primary. */
static const struct {
    const char *begins;
    enum log_level level;
} hopeless[] = {
    {"LOADING",                   LOG_WARN },
    {"READONLY",                  LOG_WARN },
    {"MASTERDOWN",                LOG_WARN },
    {"UNBLOCKED",                 LOG_WARN },
    {"ERR max number of clients", LOG_WARN },
    {"NOAUTH",                    LOG_ERROR},
    {"WRONGPASS",                 LOG_ERROR},
    {"DENIED",                    LOG_ERROR},
};

bool greeting_is_hopeless(const redisReply *reply, enum log_level *level)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++) {
        if (!strncmp(reply->str, hopeless[i].begins, strlen(hopeless[i].begins))) {
            *level = hopeless[i].level;
            return true;
        }
    }
    return false;
}

/* AUTH and SELECT: without them nothing else makes sense. */
static void on_required(const redisReply *reply, int err, void *arg)
{
    if (!err && reply->type == REDIS_REPLY_ERROR)
        redis_connection_lose(arg, LOG_ERROR, ERR_LOST, reply->str);
}

/* CLIENT SETNAME, which a user's rights may forbid. */
static void on_named(const redisReply *reply, int err, void *arg)
{
    const struct redis *redis = arg;

    if (!err && reply->type == REDIS_REPLY_ERROR)
        log_debug("redis", "the connection has no name, continuing", "name=%s", redis->config.name);
}

/* The last of the greeting. A user's rights may forbid PING too: any answer will do that is not a hopeless one. */
static void on_greeted(const redisReply *reply, int err, void *arg)
{
    (void)reply;
    if (!err)
        redis_connection_ready(arg);
}

static int greet_with(struct redis *redis, const char *const *words, redis_reply_fn *done)
{
    struct redis_call *call;
    int err = command_send_words(redis, words, CALL_COMMAND, &call);

    if (!err) {
        call->done = done;
        call->arg = redis;
    }
    return err;
}

/* All of it at once. PING is what finds a server that is loading its data or has lost its primary. */
int greeting_send(struct redis *redis)
{
    const struct redis_address *address = redis->config.address;
    char db[16];
    int err = 0;

    snprintf(db, sizeof(db), "%d", address->db);
    if (address->password && address->user)
        err = greet_with(redis, REDIS_WORDS("AUTH", address->user, address->password), on_required);
    else if (address->password)
        err = greet_with(redis, REDIS_WORDS("AUTH", address->password), on_required);
    if (!err && address->db)
        err = greet_with(redis, REDIS_WORDS("SELECT", db), on_required);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("CLIENT", "SETNAME", redis->config.name), on_named);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("PING"), on_greeted);
    return err;
}
