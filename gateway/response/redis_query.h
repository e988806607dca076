/* redis_query - run one Redis script for a waiting request
 *
 * Sends the script and passes its reply to `answer`, which completes the exchange. If Redis is not connected or its reply has an
 * unexpected shape, redis_query responds 503 itself. If the client disconnects first, the reply is dropped.
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_REDIS_QUERY_H
#define ARKRELAY_GATEWAY_RESPONSE_REDIS_QUERY_H

#include "common/task/scripts.h"

struct http_exchange;

enum { REDIS_QUERY_ARGS_MAX = 4 };

/* `reply` is an array whose first element is a word. The callback must answer or resume the exchange. */
typedef void redis_query_fn(struct http_exchange *exchange, const redisReply *reply, void *arg);

struct redis_query {
    enum script_id script;
    const char *prefix;                     /* KEYS[1]; NULL: the prefix of the task's partition */
    const char *full_id;                    /* ARGV[1]; NULL if the script is not about one task */
    const char *args[REDIS_QUERY_ARGS_MAX]; /* the arguments after it, up to the first NULL */
    redis_query_fn *answer;
    void *arg; /* for `answer` */
};
void redis_query_send(struct redis *redis, struct http_exchange *exchange, const struct redis_query *query);

#endif
