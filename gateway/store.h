/* store - one question to Redis on behalf of one waiting client
 *
 * Runs a script and hands the answer on. Answers 503 itself while Redis is away or does not answer as it should, and
 * forgets a client who left.
 */
#ifndef ARKRELAY_GATEWAY_STORE_H
#define ARKRELAY_GATEWAY_STORE_H

#include "common/task/scripts.h"

struct http_exchange;

enum { STORE_ARGS_MAX = 4 };

/* reply is an array that begins with a word. Has to answer the exchange. */
typedef void store_answer_fn(struct http_exchange *exchange, const redisReply *reply);

struct store_question {
    enum script_id script;
    const char *prefix;               /* KEYS[1]; NULL: that of the task's partition */
    const char *full_id;              /* its first argument; NULL when it is about no task */
    const char *args[STORE_ARGS_MAX]; /* those behind it, up to the first NULL */
    store_answer_fn *answer;
};
void store_ask(struct redis *redis, struct http_exchange *exchange, const struct store_question *question);

#endif
