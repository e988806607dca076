/* job_permit - the permit of a job: what its call books of the account, and what the call shows of the account
 *
 *     take --> book: the images of the plan --> settle: those that ARK has charged --> release
 *
 * The governor counts permits and booked images for all workers. This module says which images a job books, and makes the governor's note of
 * its call.
 *
 * Ownership: embedded in its job, which releases it before it is freed. Borrows the governor.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_JOB_JOB_PERMIT_H
#define ARKRELAY_WORKER_JOB_JOB_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/account/governor.h"
#include "worker/account/scope.h"

struct ark_result;
struct verdict;

/* The fields are private. */
struct job_permit {
    struct permit permit;
    struct governor *governor;
    char model[SCOPE_NAME_SIZE]; /* "" until job_permit_book */
    int64_t called_ms;           /* monotonic; 0: no call was made */
};

void job_permit_take(struct job_permit *own, struct governor *governor); /* one granted permit; there must be one */

/* Before the call, and before its inputs are read. */
void job_permit_book(struct job_permit *own, const char *model, int images);

bool job_permit_is_trial(const struct job_permit *own);   /* its call is the trial of a half-open account or model */
bool job_permit_is_blocked(const struct job_permit *own); /* the account or the model is closed */
bool job_permit_must_wait(const struct job_permit *own);  /* blocked, and its call is not the trial */

void job_permit_call(struct job_permit *own);             /* the call begins */
int64_t job_permit_call_ms(const struct job_permit *own); /* since then */

/* The call has ended: corrects the booked images as far as the charge is known, and reports what the call showed. asks_first: the verdict depends
 * on the answer. True: the call found the account or model closed, and the governor's on_confirmed follows: Redis must say whether it was the
 * first one. */
bool job_permit_settle(struct job_permit *own, const struct verdict *verdict, const struct ark_result *ark,
                       bool asks_first);

/* Without a call, the booked images are free again. */
void job_permit_release(struct job_permit *own);

/* The images that count for the limit per minute; -1: not known, so those that were booked. Pure. */
int charged_images(const struct verdict *verdict, const struct ark_result *ark);

#endif
