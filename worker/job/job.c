#include "worker/job/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/models/plan.h"
#include "common/models/price.h"
#include "common/storage/outcome.h"
#include "common/task/settler.h"
#include "common/task/storage_check.h"
#include "common/task/task.h"
#include "worker/account/governor.h"
#include "worker/ark/redact.h"
#include "worker/ark/verdict.h"
#include "worker/job/ending.h"
#include "worker/job/job_permit.h"
#include "worker/job/payload.h"
#include "worker/job/preparation.h"
#include "worker/job/refusal.h"
#include "worker/job/report.h"
#include "worker/job/slot_report.h"
#include "worker/metrics/metrics.h"
#include "worker/queue/claim.h"

enum { LOG_WORDS_MAX = 1024 };

enum job_state { JOB_OPENING, JOB_BEGINNING, JOB_CALLING, JOB_CONFIRMING, JOB_REPORTING, JOB_GONE, JOB_STATE_COUNT };

struct job_body {
    struct job job;
    const struct job_context *context;
    enum job_state state;
    char id[TASK_FULL_ID_SIZE];
    char fence[64];
    char trace[64];
    char call_id[ARK_CALL_ID_SIZE];
    struct attempt attempt;
    int paid_calls, max_paid_calls;
    bool cancelled;
    int64_t epoch_ms; /* when the task was created */
    int64_t started_ms;
    struct job_permit permit;

    struct report *report;
    struct preparation *preparation; /* until the call begins, with uploads until they are sent; else NULL */
    struct ark_call call;
    struct bill bill;
    struct verdict *kept; /* the verdict that waits while CONFIRMING */
    struct slot_report slots;
    struct end_message end; /* what FINISH says, while REPORTING */
    bool end_waits;         /* until `slots` is idle */
};

/* -- states; the functions follow in the order of a job's life */

#define STATE(name) (1u << JOB_##name)

/* clang-format off */
static const struct {
    const char *name;
    unsigned next; /* the states that may follow */
} states[JOB_STATE_COUNT] = {
    [JOB_OPENING]    = { "opening",    STATE(BEGINNING) | STATE(REPORTING) | STATE(GONE) },
    [JOB_BEGINNING]  = { "beginning",  STATE(CALLING) | STATE(REPORTING) | STATE(GONE) },
    [JOB_CALLING]    = { "calling",    STATE(CONFIRMING) | STATE(REPORTING) | STATE(GONE) },
    [JOB_CONFIRMING] = { "confirming", STATE(REPORTING) | STATE(GONE) },
    [JOB_REPORTING]  = { "reporting",  STATE(GONE) },
    [JOB_GONE]       = { "gone",       0 },
};
/* clang-format on */

/* The only function that changes the state. */
static void job_enter(struct job_body *job, enum job_state next, const char *why)
{
    assert(states[job->state].next & 1u << next);
    log_debug("job", "enters a state", "task=%s attempt=%d from=%s to=%s why=\"%s\"", job->id, job->attempt.number,
              states[job->state].name, states[next].name, why);
    job->state = next;
}

static struct job_body *job_create(const struct job_context *context, const struct claimed_job *claimed);
static void job_begin(struct job_body *job); /* BEGINNING */
static void call_ark(struct job_body *job);  /* BEGINNING -> CALLING */
static void act_on(struct job_body *job, const struct verdict *verdict,
                   const struct ark_result *ark);                /* -> REPORTING */
static void job_end(struct job_body *job, struct ending ending); /* -> REPORTING */

static struct job_body *body_of(struct job *job)
{
    return container_of(job, struct job_body, job);
}

static void job_leave(struct job_body *job, const char *why)
{
    job_enter(job, JOB_GONE, why);
    job->context->on_gone(&job->job, job->context->arg);
}

/* -- from the claim to BEGINNING */

/* No call is made. */
static void job_refuse(struct job_body *job, struct refusal refusal)
{
    job_end(job, ending_refused(&job->attempt, &refusal));
}

static void job_on_opened(const struct storage_outcome *outcome, void *arg);

/* For uploads, and for images that come as bytes. NULL: there is none. */
static struct storage *usable_storage(const struct job_context *context)
{
    return context->storage && !storage_check_failed(context->storage_check) ? context->storage : NULL;
}

static struct preparation *create_preparation(const struct job_context *context)
{
    return preparation_create(&(struct preparation_setup){.plans = context->plans,
                                                          .catalogue = context->catalogue,
                                                          .defaults = context->defaults,
                                                          .ark = context->ark,
                                                          .budget = context->inputs});
}

static void book_plan(struct job_body *job, const struct plan *plan)
{
    job_permit_book(&job->permit, plan->model, plan->images);
    job->attempt.is_trial = job_permit_is_trial(&job->permit);
    job->bill.tariff = plan->tariff;
}

/* Begins the paid call, or first reads the uploads for it. An error: there is no call. */
static int job_prepare(struct job_body *job, const struct claimed_job *claimed)
{
    int err;

    job->preparation = create_preparation(job->context);
    err = job->preparation ? preparation_read(job->preparation, claimed) : ERR_NO_MEMORY;
    if (err)
        return err;
    book_plan(job, preparation_plan(job->preparation));
    if (job_permit_must_wait(&job->permit)) { /* the circuit breaker opened after the claim */
        job_end(job, ending_handed_back(&job->attempt));
        return 0;
    }
    if (preparation_has_uploads(job->preparation))
        return preparation_open(job->preparation, usable_storage(job->context), job_on_opened, job);
    err = preparation_build(job->preparation);
    if (!err)
        job_begin(job);
    return err;
}

struct job *job_start(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = job_create(context, claimed);
    int err;

    if (!job)
        return NULL;
    if (claimed->attempt == 1 && !claimed->deferrals) /* a deferred task is claimed again with the same attempt */
        worker_metrics_since(context->metrics, METRIC_TASK_QUEUE, claimed->epoch_ms);
    err = job_prepare(job, claimed);
    if (err == ERR_NO_MEMORY)
        return job_destroy(&job->job);
    if (err)
        job_refuse(job, refusal_of_error(err));
    return &job->job;
}

struct job *job_hand_back(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = job_create(context, claimed);

    if (!job)
        return NULL;
    job_end(job, ending_handed_back(&job->attempt));
    return &job->job;
}

/* -- OPENING: the uploads are read before the call is paid */

static void warn_unopened(const struct job_body *job, const struct storage_outcome *outcome)
{
    char quoted[256];

    log_warn("job", "cannot read an upload", "task=%s end=%s why=%s", job->id, storage_end_name(outcome->end),
             log_quote(quoted, sizeof(quoted), outcome->words));
}

static void job_on_opened(const struct storage_outcome *outcome, void *arg)
{
    struct job_body *job = arg;
    int err;

    if (outcome->end != STORAGE_DONE) {
        warn_unopened(job, outcome);
        job_refuse(job, refusal_of_upload(outcome->end));
        return;
    }
    if (job_permit_must_wait(&job->permit)) {
        job_end(job, ending_handed_back(&job->attempt));
        return;
    }
    err = preparation_build(job->preparation);
    if (err)
        job_refuse(job, refusal_of_error(err));
    else
        job_begin(job);
}

/* -- BEGINNING: Redis records the paid call before it is made */

static void job_begin(struct job_body *job)
{
    struct buf data;

    job_enter(job, JOB_BEGINNING, "the request is ready");
    payload_write_event(&data, job->id, (struct task_progress){.stage = STAGE_CALLING, .attempt = job->attempt.number});
    if (buf_error(&data))
        report_fail(job->report, buf_error(&data));
    else
        report_begin(job->report, job->call_id, preparation_request(job->preparation)->images, buf_text(&data));
    buf_deinit(&data);
}

/* The paid call is on record. Checks again what may have changed while the record was written and confirmed. */
static void start_call(struct job_body *job)
{
    if (job->cancelled)
        job_end(job, ending_cancelled(&job->attempt));
    else if (job_permit_must_wait(&job->permit))
        job_end(job, ending_handed_back(&job->attempt));
    else
        call_ark(job);
}

static bool begin_is_recorded(enum begin_answer answer)
{
    return answer == BEGIN_OK || answer == BEGIN_NOT_DURABLE || answer == BEGIN_TOO_LATE;
}

static void job_on_begun(enum begin_answer answer, int paid_calls, void *arg)
{
    struct job_body *job = arg;

    job->attempt.is_recorded = begin_is_recorded(answer);
    job->paid_calls = paid_calls;
    switch (answer) {
    case BEGIN_OK:
        start_call(job);
        break;
    case BEGIN_CANCELLED:
        job_end(job, ending_cancelled(&job->attempt));
        break;
    case BEGIN_NO_BUDGET:
    case BEGIN_NOT_DURABLE:
    case BEGIN_TOO_LATE:
        job_refuse(job, refusal_of_begin(answer));
        break;
    }
}

/* -- CALLING: slots are reported as ARK delivers them */

static void job_on_slot(const struct ark_slot *slot, void *arg)
{
    struct job_body *job = arg;

    metrics_add(job->context->metrics, SAMPLE(METRIC_IMAGES), slot->url != NULL);
    if (slot->url)
        price_add_image(&job->bill.images, &job->bill.tariff, slot->size);
    slot_report_add(&job->slots, slot, usable_storage(job->context));
}

static void job_on_answer(const struct ark_call_outcome *outcome, void *arg);

static void job_on_sent(void *arg)
{
    struct job_body *job = arg;

    job->preparation = preparation_destroy(job->preparation);
}

static int start_http(struct job_body *job, struct ark_request *request)
{
    const struct job_context *context = job->context;
    int64_t more_ms = (request->images - 1) * context->ark_timeout_per_image_ms;
    /* Without a stream, the head arrives together with the last image. */
    const struct ark_call_request call = {
        .body = request->body,
        .len = request->len,
        .images = request->images,
        .stream = request->stream,
        .client_request_id = job->call_id,
        .first_byte_ms = context->ark_first_byte_ms + (request->stream ? 0 : more_ms),
        .total_ms = context->ark_timeout_ms + more_ms,
    };
    int err = ark_call_start(&job->call, &context->endpoint, &call,
                             &(struct ark_call_events){
                                 .on_slot = job_on_slot, .on_sent = job_on_sent, .on_done = job_on_answer, .arg = job});

    if (!err)
        request->body = NULL; /* owned by the call now */
    return err;
}

static void job_on_slots_idle(void *arg);

static void init_slots(struct job_body *job)
{
    slot_report_init(&job->slots, &(struct slot_report_config){.report = job->report,
                                                               .id = job->id,
                                                               .attempt = job->attempt.number,
                                                               .pictures = &job->context->pictures,
                                                               .loop = job->context->loop,
                                                               .metrics = job->context->metrics,
                                                               .on_idle = job_on_slots_idle,
                                                               .arg = job});
}

static void call_ark(struct job_body *job)
{
    struct ark_request *request = preparation_request(job->preparation);
    int err;

    job_enter(job, JOB_CALLING, "the paid call is on record");
    job_permit_call(&job->permit);
    init_slots(job);
    err = start_http(job, request);
    if (err) {
        ark_call_hang_up(&job->call, WEB_NOT_SENT, err_text(err));
        return;
    }
    log_info("job", "calls ARK", "task=%s attempt=%d call=%s images=%d stream=%d trace=%s", job->id,
             job->attempt.number, job->call_id, request->images, request->stream, *job->trace ? job->trace : "-");
    if (!preparation_has_uploads(job->preparation)) /* else it holds their share of the memory until they are sent */
        job->preparation = preparation_destroy(job->preparation);
}

/* -- the answer: its cost, its evidence about the account, the outcome of the task */

/* The verdict to keep while CONFIRMING. NULL: the verdict does not depend on other tasks, or out of memory; then this task fails. */
static struct verdict *keep_verdict(const struct verdict *verdict)
{
    struct verdict *kept = NULL;

    if (verdict->action == VERDICT_FAIL && verdict_is_closing(verdict->problem))
        kept = malloc(sizeof(*kept));
    if (kept)
        *kept = *verdict;
    return kept;
}

static void job_decide(const struct job_body *job, const struct ark_call_outcome *outcome, struct verdict *out)
{
    verdict_decide(&(struct evidence){.end = outcome->end,
                                      .words = outcome->words,
                                      .ark = outcome->result,
                                      .attempt = job->attempt.number,
                                      .max_attempts = job->attempt.max,
                                      .paid_calls = job->paid_calls,
                                      .max_paid_calls = job->max_paid_calls,
                                      .cancelled = job->cancelled,
                                      .closed = job_permit_is_blocked(&job->permit),
                                      .now_ms = clock_wall_ms()},
                   out);
}

static void job_on_answer(const struct ark_call_outcome *outcome, void *arg)
{
    struct job_body *job = arg;
    struct verdict verdict;

    ark_result_report_missing(outcome->result, job_on_slot, job);
    job_decide(job, outcome, &verdict);
    job->kept = keep_verdict(&verdict);
    if (job_permit_settle(&job->permit, &verdict, outcome->result, job->kept != NULL))
        job_enter(job, JOB_CONFIRMING, "the account or the model is closed");
    else
        act_on(job, &verdict, outcome->result);
}

/* -- CONFIRMING: Redis says which task was the first to find the account or model closed */

void job_confirm(struct permit *permit, bool first)
{
    struct job_body *job = container_of(permit, struct job_body, permit.permit);

    if (!first)
        job->kept->action = VERDICT_DEFER;
    act_on(job, job->kept, ark_call_result(&job->call));
}

static void log_call(const struct job_body *job, const struct ending *ending)
{
    const struct ark_result *ark = ending->ark;
    char plain[VERDICT_WORDS_MAX], words[LOG_WORDS_MAX];
    struct buf cost;

    if (!log_enabled(LOG_INFO))
        return;
    buf_init(&cost, PRICE_TEXT_MAX);
    ending_write_cost(&cost, ending, &job->bill);
    log_info(
        "job", verdict_action_name(ending->action),
        "task=%s attempt=%d call=%s images=%d failed=%d charge=%s %s code=%s status=%d ark_request=%s ms=%lld words=%s",
        job->id, job->attempt.number, job->call_id, ark->images, ark->failed, charge_name(ending->charge),
        buf_text(&cost), ending->problem < PROBLEM_COUNT ? problem_code(ending->problem) : "-", ark->http_status,
        *ark->request_id ? ark->request_id : "-", (long long)(clock_monotonic_ms() - job->started_ms),
        log_quote(words, sizeof(words), redact(plain, sizeof(plain), ending->words)));
    buf_deinit(&cost);
}

static void act_on(struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    const struct ending ending = ending_of_call(verdict, ark);

    log_call(job, &ending);
    worker_metrics_call(job->context->metrics, verdict, job_permit_call_ms(&job->permit));
    job_end(job, ending);
}

/* -- REPORTING: the end of the attempt goes to Redis */

static void send_end(struct job_body *job)
{
    job->end_waits = false;
    if (action_ends_task(job->end.report.action))
        worker_metrics_since(job->context->metrics, METRIC_TASK_SECONDS, job->epoch_ms);
    report_finish(job->report, &job->end.report);
    end_message_deinit(&job->end);
}

/* All images that came as bytes were reported. */
static void job_on_slots_idle(void *arg)
{
    struct job_body *job = arg;

    if (job->end_waits)
        send_end(job);
}

static void set_delay(struct job_body *job, struct ending *ending)
{
    ending->delay_ms = ending_delay_ms(ending, &job->attempt, &job->context->backoff, random_unit());
    worker_metrics_delayed(job->context->metrics, ending->action, ending->problem);
}

/* Redis would store incomplete data as the task's end, so if there is no memory for all of it, nothing is sent: the lease expires, and REAP
 * decides. */
static void job_end(struct job_body *job, struct ending ending)
{
    int err;

    job_enter(job, JOB_REPORTING, verdict_action_name(ending.action));
    job->preparation = preparation_destroy(job->preparation); /* nothing more is sent to ARK */
    if (ending_is_delayed(&ending))
        set_delay(job, &ending);
    err = ending_write(&job->end, &ending, &job->attempt, &job->bill);
    if (err)
        report_fail(job->report, err);
    else if (slot_report_is_busy(&job->slots))
        job->end_waits = true;
    else
        send_end(job);
}

static void job_on_finished(bool owes, void *arg)
{
    struct job_body *job = arg;

    if (owes)
        settler_poke(job->context->settler);
    job_leave(job, "Redis has taken the end");
}

/* -- at any time: cancelled by the client, the lease lost, Redis back */

void job_cancel(struct job *base)
{
    struct job_body *job = body_of(base);

    if (job->cancelled)
        return;
    job->cancelled = true; /* while BEGINNING, start_call and BEGIN check it */
    if (job->state == JOB_CALLING)
        ark_call_hang_up(&job->call, WEB_BROKEN, "the client cancelled the task");
}

static void job_on_cancelled(void *arg)
{
    struct job_body *job = arg;

    job_cancel(&job->job);
}

void job_lose(struct job *base)
{
    struct job_body *job = body_of(base);

    if (job->state == JOB_GONE)
        return;
    log_warn("job", "lease lost, dropping the job", "task=%s attempt=%d call=%s state=%s", job->id, job->attempt.number,
             job->call_id, states[job->state].name);
    job_leave(job, "the lease was lost");
}

static void job_on_lease_lost(void *arg)
{
    struct job_body *job = arg;

    job_lose(&job->job);
}

/* The lease is still held. It expires, because job_destroy ends its renewal. */
static void job_on_report_failed(int err, void *arg)
{
    struct job_body *job = arg;

    log_error("job", "cannot report to Redis, dropping the job, its lease will expire",
              "task=%s attempt=%d call=%s state=%s error=\"%s\"", job->id, job->attempt.number, job->call_id,
              states[job->state].name, err_text(err));
    job_leave(job, "a report failed");
}

void job_resume(struct job *base)
{
    report_resume(body_of(base)->report);
}

/* -- create and destroy */

static struct report *create_report(struct job_body *job)
{
    const struct job_context *context = job->context;

    return report_create(&(struct report_config){
        .loop = context->loop,
        .redis = context->redis,
        .paid = context->paid,
        .durability = context->durability,
        .prefix = context->prefix,
        .id = job->id,
        .fence = job->fence,
        .lease_ms = context->lease_ms,
        .events = {.on_begun = job_on_begun,
                   .on_cancelled = job_on_cancelled,
                   .on_finished = job_on_finished,
                   .on_lease_lost = job_on_lease_lost,
                   .on_failed = job_on_report_failed},
        .arg = job
    });
}

static void copy_claim(struct job_body *job, const struct claimed_job *claimed)
{
    (void)snprintf(job->id, sizeof(job->id), "%s", claimed->id);
    (void)snprintf(job->fence, sizeof(job->fence), "%s", claimed->fence);
    (void)snprintf(job->trace, sizeof(job->trace), "%s", claimed->trace);
    job->attempt = (struct attempt){
        .id = job->id, .number = claimed->attempt, .max = job->context->max_attempts, .deferrals = claimed->deferrals};
    job->max_paid_calls = claimed->max_paid_calls;
    job->epoch_ms = claimed->epoch_ms;
}

static struct job_body *job_create(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = calloc(1, sizeof(*job));

    if (!job) {
        governor_return(context->governor, 1);
        return NULL;
    }
    job->context = context;
    copy_claim(job, claimed);
    job->started_ms = clock_monotonic_ms();
    ark_call_id_make(job->call_id);
    job_permit_take(&job->permit, context->governor);
    job->job.lease.id = job->id;
    job->job.lease.fence = job->fence;
    lease_add(context->leases, &job->job.lease);
    job->report = create_report(job);
    if (job->report)
        return job;
    job_destroy(&job->job);
    return NULL;
}

struct job *job_destroy(struct job *base)
{
    struct job_body *job = base ? body_of(base) : NULL;

    if (!job)
        return NULL;
    ark_call_deinit(&job->call);
    lease_remove(job->context->leases, &job->job.lease);
    job_permit_release(&job->permit);
    slot_report_deinit(&job->slots);
    end_message_deinit(&job->end);
    report_destroy(job->report);
    preparation_destroy(job->preparation);
    free(job->kept);
    free(job);
    return NULL;
}
