/* job_body - what the parts of a job share (private to worker/job*.c)
 *
 *     job.c       birth, states, what Redis tells, death
 *     job_call.c  the ARK call, from the request to the verdict
 *     job_tell.c  what is told to Redis: events, slots, and the end
 */
#ifndef ARKRELAY_WORKER_JOB_JOB_BODY_H
#define ARKRELAY_WORKER_JOB_JOB_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/problem.h"
#include "common/task.h"
#include "common/web/web.h"
#include "worker/account/governor.h"
#include "worker/account/scope.h"
#include "worker/ark/answer.h"
#include "worker/ark/request.h"
#include "worker/ark/verdict.h"
#include "worker/job/job.h"
#include "worker/job/report.h"

enum { CALL_ID_SIZE = 14 + 20 + 1 }; /* YYYYMMDDhhmmss, 20 hex digits: the form of ARK's own clients */

enum job_state { JOB_BEGINNING, JOB_CALLING, JOB_JUDGING, JOB_REPORTING, JOB_GONE, JOB_STATE_COUNT };

/* The keeper's view comes first, so that the two convert by a cast. */
struct job_body {
    struct job job;
    const struct job_context *context;
    enum job_state state;
    char id[TASK_FULL_ID_SIZE];
    char fence[64];
    char trace[64];
    char call_id[CALL_ID_SIZE];
    int attempt, paid_calls, max_paid_calls;
    bool cancelled;
    int64_t epoch_ms; /* when the task was created */
    int64_t started_ms, called_ms;
    struct permit permit;
    char model[SCOPE_NAME_SIZE]; /* "" until the request is known */
    bool trial;                  /* its call is the one of a half-open account or model */
    int deferrals;               /* how often it was deferred before */

    struct report *report;
    struct ark_request request;
    struct ark_answer *answer; /* NULL until ARK answers: most of a call's time there is nothing to keep */
    struct web_call *call;
    struct verdict *judged; /* while JUDGING */
};

/* The one door between states. */
void job_enter(struct job_body *job, enum job_state next, const char *why);

/* -- job_call */

void job_call_start(struct job_body *job); /* the paid call is open; the job ends or is CALLING afterwards */
void job_call_hang_up(struct job_body *job, enum web_end end, const char *words); /* while CALLING: the job ends */
void job_call_judge(struct job_body *job, bool first);                            /* while JUDGING: the job ends */

/* -- job_tell */

void job_tell_begin(struct job_body *job);
void job_on_slot(const struct ark_slot *slot, void *arg); /* for ark_answer; arg is the job */

struct job_failure {
    enum problem problem;
    enum charge charge;
    bool retryable;
    const char *words;
    const struct ark_result *ark; /* NULL when ARK was not called */
};

/* Each of these takes the job to REPORTING. */
void job_finish_done(struct job_body *job, const struct ark_result *ark);
void job_finish_failed(struct job_body *job, const struct job_failure *failure);
void job_finish_retry(struct job_body *job, const struct verdict *verdict, const char *words);
void job_finish_defer(struct job_body *job, const struct verdict *verdict);
void job_finish_handback(struct job_body *job, enum charge charge);
void job_finish_cancelled(struct job_body *job, enum charge charge);

#endif
