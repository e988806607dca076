/* verdict - what happened to a paid call decides what comes of the task
 *
 * One pure table: from what fetch and ark_answer saw, and how often was tried and paid already, to done, failed,
 * cancelled or one more try, and to what is known of the charge. Three rules come before its rows: a task that has an
 * image is done and never pays again; what may have been charged is repeated only within the budget of paid calls; and a
 * call is void only where nothing was sent, or where ARK itself says that it made nothing. docs/money.md lists every case.
 *
 * ARK's own code decides before the HTTP status does: half of the codes that come with 429 are permanent. Codes are
 * dotted: the whole code is looked for first, then the part before its first dot.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_VERDICT_H
#define ARKRELAY_WORKER_ARK_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/problem.h"
#include "common/web/web.h"

struct ark_result;

enum { VERDICT_WORDS_MAX = 2560 }; /* has room for an error of ARK's as long as ark_answer keeps it */

struct evidence {
    enum web_end end;               /* WEB_ANSWERED also where the caller hung up on a finished answer */
    const char *words;              /* web_outcome.words; NULL or "": none */
    const struct ark_result *ark;   /* from ark_answer_end; of an answer without a head when nothing came */
    int attempt, max_attempts;      /* this one counts */
    int paid_calls, max_paid_calls; /* this one counts */
    bool cancelled;                 /* the client asked for it */
    bool closed;                    /* the account or this model was known to be closed when the answer came */
    int64_t now_ms;                 /* wall clock, for a time that ARK names */
};

enum verdict_action {
    VERDICT_DONE,  /* there is at least one image */
    VERDICT_FAIL,  /* for good: the `error` event */
    VERDICT_RETRY, /* after a wait; uses up the attempt */
    VERDICT_DEFER, /* after a wait; the attempt does not count: the task is not the cause */
    VERDICT_CANCELLED,
};

/* As FINISH takes it; charge_name gives its words. */
enum charge {
    CHARGE_KNOWN, /* charged */
    CHARGE_VOID,  /* not charged: the budget gets the call back */
    CHARGE_UNKNOWN,
    CHARGE_NONE, /* no call was begun; verdict never says this */
};

struct verdict {
    enum verdict_action action;
    enum charge charge;
    enum problem problem; /* why; PROBLEM_COUNT when DONE */
    bool retryable;       /* the client may send the same request again: it may succeed, and this call cost nothing */
    int64_t wait_ms;      /* before the next try, as ARK asked; 0: it did not, take the own backoff */
    int64_t until_ms;     /* wall clock: when ARK says that the quota begins again; 0: it does not say */
    char words[VERDICT_WORDS_MAX]; /* for people, with ARK's code and message; "" when DONE */
};

void verdict_decide(const struct evidence *evidence, struct verdict *out);

/* ARK closes the account, or the model, for all tasks: a wrong key, no balance, a model that is not open, a used-up quota. */
bool verdict_is_closing(enum problem problem);

const char *
verdict_action_name(enum verdict_action action); /* "done" "failed" "retry" "defer" "cancelled", as FINISH takes it */
const char *charge_name(enum charge charge);     /* "known" "void" "unknown" "none" */

#endif
