#include "worker/job/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "common/task_spec.h"
#include "worker/account/governor.h"
#include "worker/job/job_body.h"
#include "worker/metrics/metrics.h"
#include "worker/queue/claim.h"

static const char *const state_names[JOB_STATE_COUNT] = {"beginning", "calling", "judging", "reporting", "gone"};

#define BIT(state) (1U << (state))
static const unsigned may[JOB_STATE_COUNT] = {
    /* whatever is absent is a bug */
    [JOB_BEGINNING] = BIT(JOB_CALLING) | BIT(JOB_REPORTING) | BIT(JOB_GONE),
    [JOB_CALLING] = BIT(JOB_JUDGING) | BIT(JOB_REPORTING) | BIT(JOB_GONE),
    [JOB_JUDGING] = BIT(JOB_REPORTING) | BIT(JOB_GONE),
    [JOB_REPORTING] = BIT(JOB_GONE),
};

static struct job_body *body_of(struct job *job)
{
    return (struct job_body *)job;
}

void job_enter(struct job_body *job, enum job_state next, const char *why)
{
    assert(may[job->state] & BIT(next));
    log_debug("job", "enters a state", "task=%s attempt=%d from=%s to=%s why=\"%s\"", job->id, job->attempt,
              state_names[job->state], state_names[next], why);
    job->state = next;
}

static void leave(struct job_body *job, const char *why)
{
    job_enter(job, JOB_GONE, why);
    job->context->on_gone(&job->job, job->context->arg);
}

/* -- what Redis tells */

/* No call was made, so there is another try. */
static void finish_uncalled(struct job_body *job, const char *words)
{
    if (job->attempt < job->context->max_attempts)
        job_finish_retry(job, &(struct verdict){.charge = CHARGE_VOID, .problem = PROBLEM_NOT_DURABLE}, words);
    else
        job_finish_failed(
            job, &(struct job_failure){
                     .problem = PROBLEM_NOT_DURABLE, .charge = CHARGE_VOID, .retryable = true, .words = words});
}

/* The circuit breaker opened after this job was claimed. */
static bool must_wait(const struct job_body *job)
{
    return !job->trial && governor_is_closed(job->context->governor, job->model);
}

static void on_begun(enum begin_answer answer, int paid_calls, void *arg)
{
    struct job_body *job = arg;

    switch (answer) {
    case BEGIN_OK:
        job->paid_calls = paid_calls;
        if (job->cancelled) /* while the answer was lost, or waited to be confirmed */
            job_finish_cancelled(job, CHARGE_VOID);
        else if (must_wait(job))
            job_finish_handback(job, CHARGE_VOID);
        else
            job_call_start(job);
        break;
    case BEGIN_CANCELLED:
        job_finish_cancelled(job, CHARGE_NONE);
        break;
    case BEGIN_NO_BUDGET:
        job_finish_failed(job, &(struct job_failure){.problem = PROBLEM_OUTCOME_UNKNOWN,
                                                     .charge = CHARGE_NONE,
                                                     .words = "The task's budget of paid calls is used up."});
        break;
    case BEGIN_NOT_DURABLE:
        finish_uncalled(job, "Redis did not confirm the record of the paid call, so ARK was not called.");
        break;
    case BEGIN_TOO_LATE:
        finish_uncalled(job, "The lease may have ended before the call began, so ARK was not called.");
        break;
    }
}

static void on_finished(void *arg)
{
    leave(arg, "Redis has taken the end");
}

static void on_lost(void *arg)
{
    struct job_body *job = arg;

    job_lose(&job->job);
}

static void on_cancelled(void *arg)
{
    struct job_body *job = arg;

    job_cancel(&job->job);
}

/* -- birth and death */

static void make_call_id(char out[CALL_ID_SIZE])
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(out, CALL_ID_SIZE, "%Y%m%d%H%M%S", &tm);
    random_hex(out + 14, 10);
}

static struct job_body *create(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = calloc(1, sizeof(*job));

    if (!job) {
        governor_return(context->governor, 1);
        return NULL;
    }
    job->context = context;
    (void)snprintf(job->id, sizeof(job->id), "%s", claimed->id);
    (void)snprintf(job->fence, sizeof(job->fence), "%s", claimed->fence);
    (void)snprintf(job->trace, sizeof(job->trace), "%s", claimed->trace);
    job->attempt = claimed->attempt;
    job->max_paid_calls = claimed->max_paid_calls;
    job->epoch_ms = claimed->epoch_ms;
    job->started_ms = clock_monotonic_ms();
    make_call_id(job->call_id);
    job->deferrals = claimed->deferrals;
    governor_take(context->governor, &job->permit);
    job->job.lease.id = job->id;
    job->job.lease.fence = job->fence;
    lease_add(context->leases, &job->job.lease);
    job->report = report_create(&(struct report_config){
        .loop = context->loop,
        .redis = context->redis,
        .paid = context->paid,
        .durability = context->durability,
        .prefix = context->prefix,
        .id = job->id,
        .fence = job->fence,
        .lease_ms = context->lease_ms,
        .events = {.on_begun = on_begun, .on_cancelled = on_cancelled, .on_finished = on_finished, .on_lost = on_lost},
        .arg = job
    });
    if (job->report)
        return job;
    job_destroy(&job->job);
    return NULL;
}

static int build_request(struct job_body *job, const struct claimed_job *claimed)
{
    struct task_spec spec;
    int err = task_spec_read(claimed->request, claimed->request_len, &spec);

    if (err)
        return err;
    (void)snprintf(job->model, sizeof(job->model), "%s", ark_request_model(&job->context->ark, &spec));
    err = ark_request_build(&job->context->ark, &spec, &job->request);
    task_spec_deinit(&spec);
    if (!err)
        governor_book(job->context->governor, &job->permit, job->model, job->request.images);
    job->trial = job->permit.trial || job->permit.account_trial;
    return err;
}

struct job *job_start(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = create(context, claimed);
    int err;

    if (!job)
        return NULL;
    if (claimed->attempt == 1 && !claimed->deferrals) /* a deferred attempt keeps its number */
        worker_metrics_since(context->metrics, METRIC_TASK_QUEUE, claimed->epoch_ms);
    err = build_request(job, claimed);
    if (err == ERR_NO_MEMORY)
        return job_destroy(&job->job);
    if (!err && must_wait(job))
        job_finish_handback(job, CHARGE_NONE);
    else if (!err)
        job_tell_begin(job);
    else
        job_finish_failed(job, &(struct job_failure){
                                   .problem = err == ERR_SYNTAX ? PROBLEM_INVALID_TASK : PROBLEM_ARK_INVALID_REQUEST,
                                   .charge = CHARGE_NONE,
                                   .words = err == ERR_RANGE    ? "The model does not take that many reference images."
                                            : err == ERR_SYNTAX ? "The stored request cannot be read."
                                                                : "The request is larger than ARK takes."});
    return &job->job;
}

struct job *job_hand_back(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = create(context, claimed);

    if (!job)
        return NULL;
    job_finish_handback(job, CHARGE_NONE);
    return &job->job;
}

struct job *job_destroy(struct job *base)
{
    struct job_body *job = base ? body_of(base) : NULL;

    if (!job)
        return NULL;
    if (job->call)
        web_cancel(job->call);
    lease_remove(job->context->leases, &job->job.lease);
    if (!job->called_ms) /* it never came to a call */
        governor_book(job->context->governor, &job->permit, job->permit.scope->name, 0);
    governor_release(job->context->governor, &job->permit);
    report_destroy(job->report);
    ark_answer_destroy(job->answer);
    ark_request_deinit(&job->request);
    free(job->judged);
    free(job);
    return NULL;
}

void job_cancel(struct job *base)
{
    struct job_body *job = body_of(base);

    if (job->cancelled)
        return;
    job->cancelled = true; /* a job still BEGINNING ends when BEGIN is answered */
    if (job->state == JOB_CALLING)
        job_call_hang_up(job, WEB_BROKEN, "the client cancelled the task");
}

void job_lose(struct job *base)
{
    struct job_body *job = body_of(base);

    if (job->state == JOB_GONE)
        return;
    log_warn("job", "lost its lease, drops what it has", "task=%s attempt=%d call=%s state=%s", job->id, job->attempt,
             job->call_id, state_names[job->state]);
    leave(job, "the lease is not ours any more");
}

void job_judge(struct permit *permit, bool first)
{
    job_call_judge((struct job_body *)(void *)((char *)permit - offsetof(struct job_body, permit)), first);
}

void job_resume(struct job *base)
{
    report_resume(body_of(base)->report);
}
