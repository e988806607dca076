#include "common/redis/handshake.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/redis/address.h"
#include "common/redis/server_check.h"

void handshake_init(struct handshake *handshake, const struct redis_address *address, const char *name,
                    const struct server_requirements *requirements)
{
    *handshake = (struct handshake){.address = address, .name = name, .requirements = requirements};
    (void)snprintf(handshake->db, sizeof(handshake->db), "%d", address->db);
}

/* -- Steps. `words` returns false if the step does not apply; `check` may be NULL: the reply does not matter. */

static bool handshake_set_words(const char *words[HANDSHAKE_WORDS_MAX], const char *const *from)
{
    size_t i = 0;

    for (; from[i]; i++)
        words[i] = from[i];
    words[i] = NULL;
    return true;
}

#define WORDS(...) handshake_set_words(words, (const char *const[]){__VA_ARGS__, NULL})

static bool handshake_auth(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    const struct redis_address *address = handshake->address;

    if (!address->password)
        return false;
    return address->user ? WORDS("AUTH", address->user, address->password) : WORDS("AUTH", address->password);
}

static bool handshake_select(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    return handshake->address->db && WORDS("SELECT", handshake->db);
}

/* An error of AUTH or SELECT is final. A server that does not know AUTH repeats the arguments, so they are cut off. */
static enum handshake_progress handshake_check_required(const struct handshake *handshake, const redisReply *reply,
                                                        struct handshake_result *result)
{
    const char *arguments;

    (void)handshake;
    if (reply->type != REDIS_REPLY_ERROR)
        return HANDSHAKE_CONTINUES;
    arguments = strstr(reply->str, ", with args");
    (void)snprintf(result->why, sizeof(result->why), "%.*s",
                   (int)(arguments ? arguments - reply->str : (long)reply->len), reply->str);
    result->level = LOG_ERROR;
    return HANDSHAKE_FAILED;
}

static bool handshake_set_name(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    return WORDS("CLIENT", "SETNAME", handshake->name);
}

/* The user may lack the right; the name only helps operators. */
static enum handshake_progress handshake_check_name(const struct handshake *handshake, const redisReply *reply,
                                                    struct handshake_result *result)
{
    (void)result;
    if (reply->type == REDIS_REPLY_ERROR)
        log_debug("redis", "CLIENT SETNAME refused, continuing", "name=%s", handshake->name);
    return HANDSHAKE_CONTINUES;
}

static bool handshake_role(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    return handshake->address->master && WORDS("ROLE");
}

/* A sentinel that has not noticed a failover names the old master. */
static enum handshake_progress handshake_check_role(const struct handshake *handshake, const redisReply *reply,
                                                    struct handshake_result *result)
{
    (void)handshake;
    if (server_is_master(reply))
        return HANDSHAKE_CONTINUES;
    (void)snprintf(result->why, sizeof(result->why),
                   "the sentinels name this server as the master, but its role is another");
    result->level = LOG_WARN;
    return HANDSHAKE_FAILED;
}

static enum handshake_progress handshake_progress_of(enum server_check check)
{
    switch (check) {
    case SERVER_OK:
        break;
    case SERVER_MISCONFIGURED:
        return HANDSHAKE_MISCONFIGURED;
    case SERVER_UNKNOWN:
        return HANDSHAKE_UNVERIFIED;
    }
    return HANDSHAKE_CONTINUES;
}

static bool handshake_memory(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    return handshake->requirements && WORDS("INFO", "memory");
}

static enum handshake_progress handshake_check_memory(const struct handshake *handshake, const redisReply *reply,
                                                      struct handshake_result *result)
{
    return handshake_progress_of(
        server_check_eviction(handshake->requirements, reply, result->why, sizeof(result->why)));
}

/* Full memory, a full disk or missing replicas may forbid the write; an absent field is accepted as well. */
static bool handshake_set_schema(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    const struct server_requirements *required = handshake->requirements;

    return required && WORDS("HSETNX", required->schema_key, required->schema_field, required->schema);
}

static bool handshake_get_schema(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    const struct server_requirements *required = handshake->requirements;

    return required && WORDS("HGET", required->schema_key, required->schema_field);
}

static enum handshake_progress handshake_check_schema(const struct handshake *handshake, const redisReply *reply,
                                                      struct handshake_result *result)
{
    return handshake_progress_of(server_check_schema(handshake->requirements, reply, result->why, sizeof(result->why)));
}

static bool handshake_ping(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    (void)handshake;
    return WORDS("PING");
}

/* The user may lack the right to PING: any reply completes the handshake, because server_is_unusable was asked before. */
static enum handshake_progress handshake_check_ping(const struct handshake *handshake, const redisReply *reply,
                                                    struct handshake_result *result)
{
    (void)handshake;
    (void)reply;
    (void)result;
    return HANDSHAKE_COMPLETE;
}

static const struct {
    bool (*words)(const struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX]);
    enum handshake_progress (*check)(const struct handshake *handshake, const redisReply *reply,
                                     struct handshake_result *result);
} steps[] = {
    {handshake_auth,       handshake_check_required},
    {handshake_select,     handshake_check_required},
    {handshake_set_name,   handshake_check_name    },
    {handshake_role,       handshake_check_role    },
    {handshake_memory,     handshake_check_memory  },
    {handshake_set_schema, NULL                    },
    {handshake_get_schema, handshake_check_schema  },
    {handshake_ping,       handshake_check_ping    },
};

_Static_assert(ARRAY_LENGTH(steps) == HANDSHAKE_STEPS_MAX, "one entry in struct handshake per step");

bool handshake_next(struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX])
{
    while (handshake->next_step < ARRAY_LENGTH(steps)) {
        size_t step = handshake->next_step++;

        if (steps[step].words(handshake, words)) {
            handshake->sent[handshake->sent_count++] = (unsigned char)step;
            return true;
        }
    }
    return false;
}

enum handshake_progress handshake_reply(struct handshake *handshake, const redisReply *reply,
                                        struct handshake_result *result)
{
    size_t step;

    assert(handshake->answered < handshake->sent_count);
    step = handshake->sent[handshake->answered++];
    return steps[step].check ? steps[step].check(handshake, reply, result) : HANDSHAKE_CONTINUES;
}
