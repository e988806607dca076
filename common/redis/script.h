/* redis/script - runs a Lua script: EVALSHA, and EVAL if Redis does not know it
 *
 * A call is sent as EVALSHA. On NOSCRIPT the same call is sent again as EVAL, so a restart, a failover or SCRIPT FLUSH costs one round
 * trip. KEYS[1] is the prefix of all keys of the call; the other arguments are ARGV.
 *
 * Errors: as redis_send. If there is no room to send the EVAL, err is the error of redis_send: the script has not run, and the
 *         connection is still ready.
 */
#ifndef ARKRELAY_REDIS_SCRIPT_H
#define ARKRELAY_REDIS_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/redis/command.h"

struct redis;

struct script {
    const char *name;
    const char *sha1; /* of the body, in hex */
    const char *body;
    size_t len;
};

enum { SCRIPT_ARGS_MAX = 4096 };

struct script_arg {
    const char *data;
    size_t len;
};

#define SCRIPT_TEXT(text) ((struct script_arg){(text), strlen(text)})

/* prefix and args are copied; the script is borrowed for the program's life. */
struct script_call {
    const struct script *script;
    const char *prefix; /* KEYS[1] */
    const struct script_arg *args;
    size_t count; /* at most SCRIPT_ARGS_MAX, else ERR_TOO_LONG */
};

struct script_run;

/* As redis_send; `run` may be NULL, else it receives a token, valid until the callback begins. */
int script_run(struct redis *redis, const struct script_call *call, redis_reply_fn *done, void *arg,
               struct script_run **run) MUST_CHECK;
void script_cancel(struct script_run *run);

/* -- Reading replies. All accept any reply. */

/* The first word of a reply; "" if the reply is not an array that begins with a string (for example, an error). */
const char *script_answer(const redisReply *reply);

/* Element i of an array; NULL if it is missing or of another type. */
const redisReply *script_array(const redisReply *reply, size_t i);
const char *script_text(const redisReply *reply, size_t i, size_t *len);    /* len may be NULL; NULL for a nil */
int script_int(const redisReply *reply, size_t i, int64_t *out) MUST_CHECK; /* an integer, or a string of one */

/* The index of the value of a field in an array of name, value, name, value ... from element `from` on; 0: not found. */
size_t script_field(const redisReply *reply, size_t from, const char *name);

#endif
