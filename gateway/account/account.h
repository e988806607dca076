/* account - the ARK account as its books in Redis show it: limits, circuit breakers, pauses
 *
 * Workers write the books (GOVERN); the gateway only reads them, with one HGETALL, and shows them to clients and operators. A scope is the
 * account itself or one of its models. The books may hold anything: what cannot be read counts as absent.
 *
 * Pure.   Units: ms since 1970, by Redis's clock.
 */
#ifndef ARKRELAY_GATEWAY_ACCOUNT_ACCOUNT_H
#define ARKRELAY_GATEWAY_ACCOUNT_ACCOUNT_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task.h"

struct buf;

#define ACCOUNT_READ "HGETALL", "arkrelay:{account}:governor"

enum { ACCOUNT_MODELS_MAX = 32, ACCOUNT_CODE_SIZE = 32, ACCOUNT_WHY_SIZE = 256, ACCOUNT_MODEL_SIZE = TASK_ID_MAX + 1 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING, BREAKER_HALF_OPEN, BREAKER_STATES };

/* Times are 0 and numbers NAN where the books have none. */
struct account_scope {
    char model[ACCOUNT_MODEL_SIZE]; /* "" for the account */
    enum breaker_state state;
    char code[ACCOUNT_CODE_SIZE]; /* of problem.h, if the breaker is not closed; "" for one that has none */
    char why[ACCOUNT_WHY_SIZE];   /* ARK's words, for operators */
    int64_t since_ms, probe_at_ms;
    int64_t paused_until_ms; /* ARK asked for it; of models */
    double limit, rate;      /* calls in flight, and images per minute, that the limiter has learned */
};

struct account {
    double calls, tokens, limit; /* `limit` is that of the default model */
    char default_model[ACCOUNT_MODEL_SIZE];
    struct account_scope scopes[1 + ACCOUNT_MODELS_MAX]; /* the account first */
    size_t count;                                        /* of the scopes, at least 1 */
};

void account_clear(struct account *account); /* nothing is known, and nothing restricted */

/* The answer to ACCOUNT_READ; NULL, an error and any other type read as an empty hash. */
void account_read(struct account *account, const redisReply *reply);

const char *breaker_state_name(enum breaker_state state); /* "closed" "open" "probing" "half_open" */

/* -- what tasks wait for: breakers that are not closed, and pauses */

bool account_scope_holds(const struct account_scope *scope, int64_t now_ms); /* no task of it begins */
const char *account_scope_code(const struct account_scope *scope);           /* why it holds */

/* What the tasks of a model wait for: "" for tasks that name none, NULL for those of all models. */
struct account_wait {
    const struct account *account;
    const char *model;
    int64_t now_ms;
};
/* The next scope after `previous` that holds them; NULL: none. The account comes first. */
const struct account_scope *account_wait_next(const struct account_wait *wait, const struct account_scope *previous);

/* Another value whenever other scopes hold them, or for another reason; 0: nothing holds them. */
uint32_t account_wait_sum(const struct account_wait *wait);

/* `[{"code":...,"model":...,"since":...,"until":...}]` */
void account_wait_write(struct buf *out, const struct account_wait *wait);

/* Does any model have a restriction of its own? If not, nobody needs to know which model a task is of. */
bool account_names_models(const struct account *account);

#endif
