/* redis/replies - bytes from Redis into replies, within limits
 *
 * hiredis's reader does the parsing; here is what it lacks: a maximum for the bytes, the elements and the nesting of one reply,
 * the same under every version of hiredis. After an error the bytes that follow have no meaning: the connection has to end.
 *
 * Pure. Ownership: a reply that comes out is the caller's, for freeReplyObject.
 * Errors:    ERR_SYNTAX for bytes that are not RESP, ERR_TOO_LONG past a limit, ERR_NO_MEMORY.
 */
#ifndef ARKRELAY_REDIS_REPLIES_H
#define ARKRELAY_REDIS_REPLIES_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "common/err.h"

enum {
    REPLY_ELEMENTS_MAX = 1024 * 1024, /* in all of its arrays together */
    REPLY_DEPTH_MAX = 7,              /* arrays in arrays; what the oldest supported hiredis can read */
};

struct replies;

struct replies *replies_create(size_t bytes_max);         /* of one reply; NULL when out of memory */
struct replies *replies_destroy(struct replies *replies); /* accepts NULL; returns NULL */

int replies_feed(struct replies *replies, const void *data, size_t len) MUST_CHECK;

/* The next complete reply, or NULL when more bytes are needed. */
int replies_next(struct replies *replies, redisReply **out) MUST_CHECK;

/* What was wrong with the bytes, after an error. */
const char *replies_why(const struct replies *replies);

#endif
