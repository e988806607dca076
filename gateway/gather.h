/* gather - several questions to Redis, and one JSON object made of the answers, on behalf of one waiting client
 *
 * All questions are sent in one write. Each answer is written as members of the object as it comes, so their order is not told.
 * Answers 503 itself while Redis is away, and forgets a client who left.
 *
 * Threads: loop thread only.   Units: microseconds.
 */
#ifndef ARKRELAY_GATEWAY_GATHER_H
#define ARKRELAY_GATEWAY_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task/scripts.h"

struct buf;
struct http_exchange;

/* Adds members ("name":value, without a comma in front). reply is NULL where Redis refused an optional question, or
 * answered it with another shape: a script's answer is an array that begins with a word. */
typedef void gather_write_fn(struct buf *out, const redisReply *reply, int64_t took_us);

enum { GATHER_MAX = 4 };

struct gather_question {
    enum script_id script; /* without arguments; where `words` is NULL */
    const char *prefix;
    const char *const *words; /* a command, with a NULL behind it */
    gather_write_fn *write;
    bool optional; /* Redis may refuse it: the others are answered all the same */
};

/* Up to GATHER_MAX questions; `head` holds members that are known without asking, or is empty, and is copied. */
void gather_ask(struct redis *redis, struct http_exchange *exchange, const struct gather_question *questions,
                size_t count, const struct buf *head);

#endif
