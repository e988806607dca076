/* ending - how an attempt ends, and what FINISH says about it
 *
 *     verdict of a call -----------+
 *     refusal: no call is made ----+--> ending --> delay, cost, data: the message for FINISH
 *     handed back, cancelled ------+
 *
 * Ownership: an ending borrows its words and ARK's result. The message owns its texts.
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_JOB_ENDING_H
#define ARKRELAY_WORKER_JOB_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/backoff.h"
#include "common/base/buf.h"
#include "common/base/problem.h"
#include "common/models/price.h"
#include "worker/ark/verdict.h"
#include "worker/job/report.h"

struct ark_result;
struct refusal;

/* What a job knows of its attempt. */
struct attempt {
    const char *id;   /* of the task: "<client>.<task id>" */
    int number, max;  /* this attempt, counted from 1; the last one that may follow */
    int deferrals;    /* how often the task was deferred before */
    bool is_trial;    /* its call is the trial of a half-open account or model */
    bool is_recorded; /* BEGIN has recorded a paid call: the end must say what it cost */
};

/* What a call costs. */
struct bill {
    struct tariff tariff; /* of the plan */
    struct cost images;   /* of those that arrived */
};

struct ending {
    enum verdict_action action;
    enum charge charge;
    enum problem problem;         /* of FAIL, RETRY and DEFER */
    bool retryable;               /* of FAIL */
    int64_t delay_ms;             /* of RETRY and DEFER */
    const char *words;            /* of FAIL, RETRY and DEFER: the error for people */
    const struct ark_result *ark; /* NULL: no call was made */
};

/* delay_ms is the delay that ARK asks for, or 0. */
struct ending ending_of_call(const struct verdict *verdict, const struct ark_result *ark);

/* Without a call. A recorded call returns to the task's budget. */
struct ending ending_refused(const struct attempt *attempt, const struct refusal *refusal);
struct ending ending_handed_back(const struct attempt *attempt);
struct ending ending_cancelled(const struct attempt *attempt);

bool ending_is_delayed(const struct ending *ending); /* RETRY or DEFER: the task waits for another attempt */
bool action_ends_task(enum verdict_action action);   /* false: the task goes back into the queue */

/* How long the task of a delayed ending waits. dice: see backoff.h. */
int64_t ending_delay_ms(const struct ending *ending, const struct attempt *attempt, const struct backoff *backoff,
                        double dice);

/* What the call costs, by what is known of its charge; 0 if it was not charged. */
struct cost ending_cost(const struct ending *ending, const struct bill *bill);

/* For logs: "cost=0.06 currency=USD estimated=0"; "cost=-" if the price is not known. */
void ending_write_cost(struct buf *out, const struct ending *ending, const struct bill *bill);

struct end_message {
    struct report_end report; /* its texts are those below */
    struct buf data, cost;
};

/* Returns 0, ERR_NO_MEMORY or ERR_TOO_LONG. Call end_message_deinit in any case. */
int ending_write(struct end_message *out, const struct ending *ending, const struct attempt *attempt,
                 const struct bill *bill) MUST_CHECK;
void end_message_deinit(struct end_message *message); /* accepts a zeroed one */

#endif
