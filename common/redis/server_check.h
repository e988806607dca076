/* redis/server_check - whether a server is usable, as its replies show
 *
 * Pure. Every function with `why` writes a reason for the operator there, unless it returns SERVER_OK.
 */
#ifndef ARKRELAY_REDIS_SERVER_CHECK_H
#define ARKRELAY_REDIS_SERVER_CHECK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/log.h"

/* What a program requires of a server that stores its data. */
struct server_requirements {
    const char *eviction_policy;           /* the required maxmemory-policy */
    const char *schema_key, *schema_field; /* a hash and its field; set to `schema` if absent */
    const char *schema;                    /* the required value */
    const char *schema_advice;             /* what to do about another value, for the error message */
};

enum server_check {
    SERVER_OK,
    SERVER_MISCONFIGURED,
    SERVER_UNKNOWN, /* the server did not answer the question, for example for lack of rights */
};

/* The reply to INFO memory. */
enum server_check server_check_eviction(const struct server_requirements *requirements, const redisReply *reply,
                                        char *why, size_t size);

/* The reply to HGET of the schema; nil is OK. */
enum server_check server_check_schema(const struct server_requirements *requirements, const redisReply *reply,
                                      char *why, size_t size);

bool server_is_master(const redisReply *reply); /* the reply to ROLE; true if the server refused the question */

/* An error reply that makes the connection useless for any command. `level` is the severity to log it with. With sentinels, an
 * error that a failover may end is included. */
bool server_is_unusable(const redisReply *reply, bool has_sentinels, enum log_level *level);

#endif
