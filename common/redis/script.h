/* redis/script - the Lua transitions, embedded, and how to run one
 *
 * One file per transition in common/redis/scripts, each behind the files of scripts/shared that it needs. A call is sent as EVALSHA; on NOSCRIPT the same call is sent
 * again as EVAL, so a restart, a failover or SCRIPT FLUSH costs one round trip and nobody notices.
 * KEYS[1] is the partition's prefix; ARGV and answers are described at the head of each script.
 *
 * The answer reaches the callback as redis_send describes it; script_answer reads its first word. Where there is no room for the EVAL,
 * err is what redis_send said of it: the script has not run, and the connection is still there.
 */
#ifndef ARKRELAY_REDIS_SCRIPT_H
#define ARKRELAY_REDIS_SCRIPT_H

#include <stddef.h>

#include "common/redis/client.h"

/* In the order of the list in common/CMakeLists.txt. */
enum script_id {
    SCRIPT_SUBMIT,
    SCRIPT_CLAIM,
    SCRIPT_BEGIN,
    SCRIPT_EMIT,
    SCRIPT_RENEW,
    SCRIPT_FINISH,
    SCRIPT_REAP,
    SCRIPT_CANCEL,
    SCRIPT_READ,
    SCRIPT_STATUS,
    SCRIPT_READY,
    SCRIPT_ERASE,
    SCRIPT_AUDIT,
    SCRIPT_PAUSE,
    SCRIPT_PLACES,
    SCRIPT_GOVERN,
    SCRIPT_QUEUE,
    SCRIPT_TASKS,
    SCRIPT_RETRY,
    SCRIPT_STORY,
    SCRIPT_PROCESSES,
    SCRIPT_LIMIT,
    SCRIPT_PRESENCE,
    SCRIPT_TAILS,
    SCRIPT_COUNT,
};

struct script {
    const char *name;
    const char *sha1; /* of the body, in hex */
    const char *body;
    size_t len;
};

extern const struct script scripts[SCRIPT_COUNT];

enum { SCRIPT_ARGS_MAX = 4096 };

struct script_arg {
    const char *data;
    size_t len;
};

/* Copies what it keeps: args and prefix may go after the call. */
struct script_call {
    enum script_id script;
    const char *prefix; /* KEYS[1] */
    const struct script_arg *args;
    size_t count;
};

struct script_run;

/* As redis_send; `run` may be NULL, else it gets a token, good until the callback begins. */
int script_run(struct redis *redis, const struct script_call *call, redis_reply_fn *done, void *arg,
               struct script_run **run) MUST_CHECK;
void script_cancel(struct script_run *run);

#define SCRIPT_TEXT(text) ((struct script_arg){(text), strlen(text)})

/* The first word of an answer; "" when the reply is not an array that begins with a word (an error reply, for one). */
const char *script_answer(const redisReply *reply);

/* Element i of an answer, or NULL when it is missing or of another type. */
const redisReply *script_array(const redisReply *reply, size_t i);
const char *script_text(const redisReply *reply, size_t i, size_t *len);    /* len may be NULL; NULL for a nil */
int script_int(const redisReply *reply, size_t i, int64_t *out) MUST_CHECK; /* an integer, or a text of one */

/* Where the value of a field is, in an answer that has name, value, name, value ... from element `from` on; 0: it is not there. */
size_t script_field(const redisReply *reply, size_t from, const char *name);

#endif
