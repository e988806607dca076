/* store - one question to Redis on behalf of one waiting client
 *
 * Runs a script and hands the answer on. Answers 503 itself while Redis is away or does not answer as it should, and
 * forgets a client who left.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_REDIS_QUERY_H
#define ARKRELAY_GATEWAY_RESPONSE_REDIS_QUERY_H

#include "common/redis/script.h"

struct http_exchange;

enum { REDIS_QUERY_ARGS_MAX = 4 };

/* reply is an array that begins with a word. Has to answer the exchange. */
typedef void redis_query_fn(struct http_exchange *exchange, const redisReply *reply);

struct redis_query {
    enum script_id script;
    const char *prefix;                     /* KEYS[1]; NULL: that of the task's partition */
    const char *full_id;                    /* its first argument; NULL when it is about no task */
    const char *args[REDIS_QUERY_ARGS_MAX]; /* those behind it, up to the first NULL */
    redis_query_fn *answer;
};
void redis_query_send(struct redis *redis, struct http_exchange *exchange, const struct redis_query *question);

#endif
