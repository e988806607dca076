/* redis_multi_query - send several commands to Redis and join the replies into one JSON object
 *
 * All commands are sent in one write, except a part marked `last`: it is sent when all other replies have arrived. Each reply is appended to the object when it arrives, so the order of members is not fixed.
 * If Redis is not connected, or refuses a command that is not optional, redis_multi_query responds 503 itself. If the client
 * disconnects first, the replies are dropped.
 *
 * Threads: loop thread only.   Units: microseconds.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_REDIS_MULTI_QUERY_H
#define ARKRELAY_GATEWAY_RESPONSE_REDIS_MULTI_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task/scripts.h"

struct buf;
struct http_exchange;

struct redis_query_notes {
    int64_t took_us; /* from sending to this reply */
    int64_t now_ms;  /* time of Redis; 0 until a part has set it */
};

/* Appends members ("name":value, no leading comma). `reply` is NULL if the part is optional and Redis refused it or replied with
 * an unexpected shape. A script's reply is an array whose first element is a word. */
typedef void redis_query_part_fn(struct buf *out, const redisReply *reply, struct redis_query_notes *notes);

enum { REDIS_QUERY_PARTS_MAX = 4 };

struct redis_query_part {
    enum script_id script; /* run without arguments; used if `words` is NULL */
    const char *prefix;
    const char *const *words; /* a plain command, NULL-terminated */
    redis_query_part_fn *write;
    bool optional; /* Redis may refuse this part; the response is sent without it */
    bool last;     /* wait for all other replies first; only for the last part, whose `words` must be a constant */
};

/* Up to REDIS_QUERY_PARTS_MAX parts. `head` is copied: members that are known without asking, or an empty buffer. */
void redis_multi_query_send(struct redis *redis, struct http_exchange *exchange, const struct redis_query_part *parts,
                            size_t count, const struct buf *head);

#endif
