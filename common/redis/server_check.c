#include "common/redis/server_check.h"

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"

enum { INFO_MAX = 64 * 1024 };

static enum server_check server_unknown(const redisReply *reply, const char *otherwise, char *why, size_t size)
{
    (void)snprintf(why, size, "%s", reply->type == REDIS_REPLY_ERROR ? reply->str : otherwise);
    return SERVER_UNKNOWN;
}

enum server_check server_check_eviction(const struct server_requirements *requirements, const redisReply *reply,
                                        char *why, size_t size)
{
    static const char field[] = "\nmaxmemory_policy:";
    const char *required = requirements->eviction_policy, *policy = NULL;
    size_t len;

    if (reply->type == REDIS_REPLY_STRING && (size_t)reply->len <= INFO_MAX)
        policy = strstr(reply->str, field);
    if (!policy)
        return server_unknown(reply, "INFO memory has no maxmemory_policy", why, size);
    policy += sizeof(field) - 1;
    len = strcspn(policy, "\r\n");
    if (len == strlen(required) && !memcmp(policy, required, len))
        return SERVER_OK;
    (void)snprintf(why, size,
                   "maxmemory-policy is %.*s, %s is required: Redis would delete data when its memory is full; "
                   "set maxmemory-policy %s (CONFIG SET, and in redis.conf)",
                   len < 32 ? (int)len : 32, policy, required, required);
    return SERVER_MISCONFIGURED;
}

enum server_check server_check_schema(const struct server_requirements *requirements, const redisReply *reply,
                                      char *why, size_t size)
{
    if (reply->type == REDIS_REPLY_NIL)
        return SERVER_OK;
    if (reply->type != REDIS_REPLY_STRING)
        return server_unknown(reply, "the schema is not a string", why, size);
    if (!strcmp(reply->str, requirements->schema))
        return SERVER_OK;
    (void)snprintf(why, size, "the data has schema %.16s, schema %s is required: %s", reply->str, requirements->schema,
                   requirements->schema_advice);
    return SERVER_MISCONFIGURED;
}

bool server_is_master(const redisReply *reply)
{
    const redisReply *role;

    if (reply->type != REDIS_REPLY_ARRAY)
        return true;
    role = reply->elements ? reply->element[0] : NULL;
    return role && (role->type == REDIS_REPLY_STRING || role->type == REDIS_REPLY_STATUS) &&
           !strcmp(role->str, "master");
}

/* NOREPLICAS: a master without enough replicas may be one that was demoted in a failover. The sentinels know the new one. */
bool server_is_unusable(const redisReply *reply, bool has_sentinels, enum log_level *level)
{
    static const struct {
        const char *begins;
        enum log_level level;
        bool with_sentinels_only;
    } errors[] = {
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

    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        if (!strncmp(reply->str, errors[i].begins, strlen(errors[i].begins)) &&
            (has_sentinels || !errors[i].with_sentinels_only)) {
            *level = errors[i].level;
            return true;
        }
    }
    return false;
}
