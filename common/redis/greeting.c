#include "common/redis/connection.h"

#include <stdio.h>
#include <string.h>

#include "common/keys.h"
#include "common/redis/address.h"
#include "common/redis/fit.h"
#include "common/redis/script.h"

/* Errors after which this connection, or this server for now, is of no use, whatever was asked. The connection is given up, so
 * that the next one may find a server that is up, loaded, and the primary. A master without enough replicas may be one that
 * the others have given up: where sentinels can say who is the master now, they are asked again. */
static const struct {
    const char *begins;
    enum log_level level;
    bool with_sentinels_only;
} hopeless[] = {
    {"LOADING",                   LOG_WARN,  false},
    {"READONLY",                  LOG_WARN,  false},
    {"MASTERDOWN",                LOG_WARN,  false},
    {"UNBLOCKED",                 LOG_WARN,  false},
    {"NOREPLICAS",                LOG_WARN,  true },
    {"ERR max number of clients", LOG_WARN,  false},
    {"NOAUTH",                    LOG_ERROR, false},
    {"WRONGPASS",                 LOG_ERROR, false},
    {"DENIED",                    LOG_ERROR, false},
};

bool greeting_is_hopeless(const struct redis *redis, const redisReply *reply, enum log_level *level)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++) {
        if (!strncmp(reply->str, hopeless[i].begins, strlen(hopeless[i].begins)) &&
            (redis->config.address->master || !hopeless[i].with_sentinels_only)) {
            *level = hopeless[i].level;
            return true;
        }
    }
    return false;
}

/* AUTH and SELECT: without them nothing else makes sense. A server that does not know AUTH repeats what it was called with. */
static void on_required(const redisReply *reply, int err, void *arg)
{
    char why[REDIS_WHY_SIZE];
    const char *arguments;

    if (err || reply->type != REDIS_REPLY_ERROR)
        return;
    arguments = strstr(reply->str, ", with args");
    (void)snprintf(why, sizeof(why), "%.*s", arguments ? (int)(arguments - reply->str) : (int)reply->len, reply->str);
    redis_connection_lose(arg, LOG_ERROR, ERR_LOST, why);
}

/* CLIENT SETNAME, which a user's rights may forbid. */
static void on_named(const redisReply *reply, int err, void *arg)
{
    const struct redis *redis = arg;

    if (!err && reply->type == REDIS_REPLY_ERROR)
        log_debug("redis", "the connection has no name, continuing", "name=%s", redis->config.name);
}

/* What sentinels call the master has to think so too. A user's rights may forbid ROLE. */
static void on_role(const redisReply *reply, int err, void *arg)
{
    if (!err && reply->type == REDIS_REPLY_ARRAY && strcmp(script_answer(reply), "master") != 0)
        redis_connection_lose(arg, LOG_WARN, ERR_LOST, "the sentinels call it the master, and it is none");
}

static void act_on(struct redis *redis, enum fit fit, const char *why)
{
    char quoted[REDIS_WHY_SIZE + 16];

    switch (fit) {
    case FIT_GOOD:
        break;
    case FIT_BAD:
        redis_connection_unfit(redis, why);
        break;
    case FIT_UNKNOWN:
        log_line(redis->warned ? LOG_DEBUG : LOG_WARN, "redis",
                 "cannot tell whether this server may keep tasks, continuing", "name=%s at=%s why=%s",
                 redis->config.name, redis->to, log_quote(quoted, sizeof(quoted), why));
        redis->warned = true;
        break;
    }
}

static void on_memory(const redisReply *reply, int err, void *arg)
{
    char why[REDIS_WHY_SIZE];

    if (!err)
        act_on(arg, fit_eviction(reply, why, sizeof(why)), why);
}

static void on_schema(const redisReply *reply, int err, void *arg)
{
    char why[REDIS_WHY_SIZE];

    if (!err)
        act_on(arg, fit_schema(reply, why, sizeof(why)), why);
}

/* Full memory, a full disk or missing replicas may forbid the write: the field is there later, and absent it means the first schema. */
static void on_schema_set(const redisReply *reply, int err, void *arg)
{
    (void)reply;
    (void)err;
    (void)arg;
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

static int ask_whether_fit(struct redis *redis)
{
    char prefix[KEYS_PREFIX_SIZE], meta[KEYS_PREFIX_SIZE + 8];
    int err;

    keys_prefix(prefix, 0);
    (void)snprintf(meta, sizeof(meta), "%smeta", prefix);
    err = greet_with(redis, REDIS_WORDS("INFO", "memory"), on_memory);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("HSETNX", meta, "schema", FIT_SCHEMA), on_schema_set);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("HGET", meta, "schema"), on_schema);
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
    if (!err && address->master)
        err = greet_with(redis, REDIS_WORDS("ROLE"), on_role);
    if (!err && redis->config.events.on_unfit)
        err = ask_whether_fit(redis);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("PING"), on_greeted);
    return err;
}
