#include "common/redis/fit.h"

#include <stdio.h>
#include <string.h>

enum { INFO_MAX = 64 * 1024 };

static enum fit unknown(const redisReply *reply, const char *otherwise, char *why, size_t size)
{
    (void)snprintf(why, size, "%s", reply->type == REDIS_REPLY_ERROR ? reply->str : otherwise);
    return FIT_UNKNOWN;
}

enum fit fit_eviction(const redisReply *info_memory, char *why, size_t size)
{
    static const char field[] = "\nmaxmemory_policy:", good[] = "noeviction";
    const char *policy = NULL;
    size_t len;

    if (info_memory->type == REDIS_REPLY_STRING && (size_t)info_memory->len <= INFO_MAX)
        policy = strstr(info_memory->str, field);
    if (!policy)
        return unknown(info_memory, "INFO memory does not tell maxmemory_policy", why, size);
    policy += sizeof(field) - 1;
    len = strcspn(policy, "\r\n");
    if (len == sizeof(good) - 1 && !memcmp(policy, good, len))
        return FIT_GOOD;
    (void)snprintf(why, size,
                   "its maxmemory-policy is %.*s: it would throw tasks away when its memory is full; "
                   "set maxmemory-policy noeviction (CONFIG SET, and in redis.conf)",
                   len < 32 ? (int)len : 32, policy);
    return FIT_BAD;
}

enum fit fit_schema(const redisReply *schema, char *why, size_t size)
{
    if (schema->type == REDIS_REPLY_NIL)
        return FIT_GOOD;
    if (schema->type != REDIS_REPLY_STRING)
        return unknown(schema, "meta's schema is not a text", why, size);
    if (!strcmp(schema->str, FIT_SCHEMA))
        return FIT_GOOD;
    (void)snprintf(why, size,
                   "its data has schema %.16s, and this version (" ARKRELAY_VERSION ") knows schema " FIT_SCHEMA
                   " only: run the version that the data is of, or name another Redis "
                   "or database in REDIS_URL",
                   schema->str);
    return FIT_BAD;
}
