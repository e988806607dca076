/* account - the state of the ARK account in Redis: limits, circuit breakers, pauses
 *
 * Workers write this hash (script GOVERN). The gateway only reads it, with one HGETALL, to tell clients and operators what tasks wait
 * for. A scope is the whole account or one of its models. Values that cannot be parsed count as absent.
 *
 * Pure.   Units: ms since 1970, Redis clock.
 */
#ifndef ARKRELAY_GATEWAY_ACCOUNT_ACCOUNT_H
#define ARKRELAY_GATEWAY_ACCOUNT_ACCOUNT_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task/keys.h"
#include "common/task/task.h"

struct buf;

#define ACCOUNT_READ "HGETALL", KEYS_ACCOUNT "governor"

enum { ACCOUNT_MODELS_MAX = 32, ACCOUNT_CODE_SIZE = 32, ACCOUNT_WHY_SIZE = 256, ACCOUNT_MODEL_SIZE = TASK_ID_MAX + 1 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING, BREAKER_HALF_OPEN, BREAKER_STATES };

/* An absent time is 0, an absent number NAN. */
struct account_scope {
    char model[ACCOUNT_MODEL_SIZE]; /* "" for the account */
    enum breaker_state state;
    char code[ACCOUNT_CODE_SIZE]; /* problem code, if the breaker is not closed; may be "" */
    char why[ACCOUNT_WHY_SIZE];   /* ARK's message, for operators */
    int64_t since_ms, probe_at_ms;
    int64_t paused_until_ms; /* of models: requested by ARK (Retry-After) */
    double limit, rate;      /* learned by the limiter: calls in flight, images per minute */
};

struct account {
    double calls, tokens, limit; /* `limit` of the default model */
    char default_model[ACCOUNT_MODEL_SIZE];
    struct account_scope scopes[1 + ACCOUNT_MODELS_MAX]; /* the account first */
    size_t count;                                        /* of the scopes, at least 1 */
};

void account_clear(struct account *account); /* nothing known, nothing restricted */

/* From the reply of ACCOUNT_READ. NULL, an error and other types count as an empty hash. */
void account_read(struct account *account, const redisReply *reply);

const char *breaker_state_name(enum breaker_state state); /* "closed" "open" "probing" "half_open" */

/* -- what tasks wait for: breakers that are not closed, and pauses */

bool account_scope_holds(const struct account_scope *scope, int64_t now_ms); /* tasks of this scope do not start */
const char *account_scope_code(const struct account_scope *scope);           /* the reason, a problem code */

/* Which tasks: those of a model, "" for tasks without a model (the default model), NULL for all tasks. */
struct account_wait {
    const struct account *account;
    const char *model;
    int64_t now_ms;
};
/* The next scope after `previous` (NULL: the first) that holds these tasks up; NULL: none. The account comes first. */
const struct account_scope *account_wait_next(const struct account_wait *wait, const struct account_scope *previous);

/* A hash that changes when other scopes hold the tasks up, or for another reason; 0: nothing does. */
uint32_t account_wait_digest(const struct account_wait *wait);

/* `[{"code":...,"model":...,"since":...,"until":...}]` */
void account_wait_write(struct buf *out, const struct account_wait *wait);

/* True if a model has a restriction of its own. If not, the models of tasks need not be looked up. */
bool account_names_models(const struct account *account);

#endif
