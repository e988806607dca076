/* inputs - the uploads that a submission names: asks for their stored objects (script INPUTS), and puts the names into the plan
 *
 * The worker sends the images inside of ARK's request, so all of them together have a limit.
 *
 * Threads: loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_INPUTS_H
#define ARKRELAY_GATEWAY_TASKS_INPUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/redis/script.h"

enum { INPUTS_JSON_MAX = 60 << 20 }; /* of the images as data URLs, in base64 */

struct submission;

enum inputs_outcome {
    INPUTS_FOUND,
    INPUTS_UNKNOWN, /* at least one is not an upload of this client, or has expired */
    INPUTS_TOO_LARGE,
    INPUTS_FAILED, /* no usable reply from Redis */
};

/* False: it has no uploads, and its data URLs are not too large together. */
bool inputs_are_needed(const struct submission *submission);

/* As script_run. The uploads can be used for life_ms from now on. */
int inputs_ask(struct redis *redis, const struct submission *submission, int64_t life_ms, redis_reply_fn *done,
               void *arg, struct script_run **run) MUST_CHECK;

/* Puts the names of a reply into the plan. */
enum inputs_outcome inputs_apply(const redisReply *reply, struct submission *submission);

/* The name of upload i if its object ends too early and has to be copied, else NULL. */
const char *inputs_short_name(const redisReply *reply, size_t i);

#endif
