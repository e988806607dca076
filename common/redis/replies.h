/* redis/replies - parses replies from bytes, within limits
 *
 * hiredis's reader parses. This adds limits for the bytes, the elements and the nesting of one reply, equal for all versions of
 * hiredis. After an error the connection must be closed, because the beginning of the next reply is unknown.
 *
 * Pure. Ownership: the caller frees replies with freeReplyObject.
 * Errors:    ERR_SYNTAX: not RESP. ERR_TOO_LONG: over a limit. ERR_NO_MEMORY.
 */
#ifndef ARKRELAY_REDIS_REPLIES_H
#define ARKRELAY_REDIS_REPLIES_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "common/base/err.h"

enum {
    REPLY_ELEMENTS_MAX = 1024 * 1024, /* in all arrays of the reply together */
    REPLY_DEPTH_MAX = 7,              /* nested arrays; the limit of hiredis 0.14 */
};

struct replies;

struct replies *replies_create(size_t bytes_max);         /* of one reply; NULL when out of memory */
struct replies *replies_destroy(struct replies *replies); /* accepts NULL; returns NULL */

int replies_feed(struct replies *replies, const void *data, size_t len) MUST_CHECK;

/* The next complete reply; NULL if more bytes are needed. */
int replies_next(struct replies *replies, redisReply **out) MUST_CHECK;

/* The reason of the last error. */
const char *replies_why(const struct replies *replies);

#endif
