/* verdict - what a paid call means for its task
 *
 * A pure table. From what the web client and ark_answer observed, and the numbers of attempts and paid calls so far, to the outcome: done,
 * failed, cancelled, retry or defer, and to what is known about the charge. Three rules take precedence over the rows:
 *
 * - A task with at least one image is done. It never pays again.
 * - A call that may have been charged is repeated only within the task's budget of paid calls.
 * - A call counts as not charged only if nothing was sent, if ARK itself says that it generated nothing, or if the status says that
 *   the request was not forwarded to ARK.
 *
 * ARK's error code takes precedence over the HTTP status, because half of the codes that come with 429 are permanent. Codes have dots: the
 * whole code is looked up first, then the part before the first dot. docs/money.md lists every case.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_VERDICT_H
#define ARKRELAY_WORKER_ARK_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/problem.h"
#include "common/web/web.h"

struct ark_result;

enum { VERDICT_WORDS_MAX = 2560 }; /* has room for the longest error of ark_answer */

struct evidence {
    enum web_end end;               /* WEB_ANSWERED also if the caller hung up because the answer was finished */
    const char *words;              /* web_outcome.words; NULL or "": none */
    const struct ark_result *ark;   /* from ark_answer_end; http_status is 0 if no head arrived */
    int attempt, max_attempts;      /* including this one */
    int paid_calls, max_paid_calls; /* including this one */
    bool cancelled;                 /* the client cancelled the task */
    bool closed;                    /* the account or this model was known to be closed when the answer arrived */
    int64_t now_ms;                 /* wall clock, for a time in ARK's message */
};

enum verdict_action {
    VERDICT_DONE,  /* there is at least one image */
    VERDICT_FAIL,  /* permanently: the `error` event */
    VERDICT_RETRY, /* after a delay; counts as an attempt */
    VERDICT_DEFER, /* after a delay; does not count as an attempt, because the task is not the cause */
    VERDICT_CANCELLED,
    VERDICT_HANDBACK, /* back to its place in the queue, no call was made; verdict_decide never returns this */
};

/* As FINISH takes it; charge_name gives its words. */
enum charge {
    CHARGE_KNOWN, /* charged */
    CHARGE_VOID,  /* not charged: the budget gets the call back */
    CHARGE_UNKNOWN,
    CHARGE_NONE, /* no call is on record; verdict_decide never returns this */
};

struct verdict {
    enum verdict_action action;
    enum charge charge;
    enum problem problem; /* PROBLEM_COUNT when DONE */
    bool retryable;   /* the client may send the same request again: it may succeed, and this call was not charged */
    int64_t delay_ms; /* delay that ARK asks for; 0: use the backoff */
    int64_t until_ms; /* wall clock: when the quota resets; 0: unknown */
    char words[VERDICT_WORDS_MAX]; /* for people, with ARK's code and message; "" when DONE */
};

void verdict_decide(const struct evidence *evidence, struct verdict *out);

/* True if the problem concerns all tasks of the account or the model: invalid key, no balance, model not open, quota used up. */
bool verdict_is_closing(enum problem problem);

/* As FINISH takes it: "done" "failed" "retry" "defer" "cancelled" "handback". */
const char *verdict_action_name(enum verdict_action action);
const char *charge_name(enum charge charge); /* "known" "void" "unknown" "none" */

#endif
