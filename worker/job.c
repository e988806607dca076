#include "worker/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/problem.h"
#include "common/random.h"
#include "common/task.h"
#include "common/task_event.h"
#include "common/task_spec.h"
#include "worker/ark_answer.h"
#include "worker/claim.h"
#include "worker/fetch.h"
#include "worker/governor.h"
#include "worker/report.h"
#include "worker/verdict.h"

enum {
    CALL_ID_SIZE = 14 + 20 + 1, /* YYYYMMDDhhmmss, 20 hex digits: the form of ARK's own clients */
    EVENT_MAX = 96 << 20,
    MORE_MAX = 8 * (ARK_REQUEST_ID_MAX + ARK_CODE_MAX), /* each byte may become six */
    FAILURE_MAX = 8 * (VERDICT_WORDS_MAX + MORE_MAX),
    HEADER_SIZE = 128,
};

enum job_state { JOB_BEGINNING, JOB_CALLING, JOB_REPORTING, JOB_GONE, JOB_STATE_COUNT };

static const char *const state_names[JOB_STATE_COUNT] = { "beginning", "calling", "reporting", "gone" };

#define BIT(state) (1U << (state))
static const unsigned may[JOB_STATE_COUNT] = {
    /* whatever is absent is a bug */
    [JOB_BEGINNING] = BIT(JOB_CALLING) | BIT(JOB_REPORTING) | BIT(JOB_GONE),
    [JOB_CALLING] = BIT(JOB_REPORTING) | BIT(JOB_GONE),
    [JOB_REPORTING] = BIT(JOB_GONE),
};

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
    int64_t started_ms;
    int reckoned; /* images that the account's governor counts for this job */

    struct report *report;
    struct ark_request request;
    struct ark_answer *answer;
    struct fetch_call *call;
};

static struct job_body *body_of(struct job *job)
{
    return (struct job_body *)job;
}

static void enter(struct job_body *job, enum job_state next, const char *why)
{
    assert(may[job->state] & BIT(next));
    log_debug("job", "enters a state", "task=%s attempt=%d from=%s to=%s why=\"%s\"", job->id, job->attempt,
              state_names[job->state], state_names[next], why);
    job->state = next;
}

static void leave(struct job_body *job, const char *why)
{
    enter(job, JOB_GONE, why);
    job->context->on_gone(&job->job, job->context->arg);
}

/* -- the account's limits */

static void reckon(struct job_body *job, int images)
{
    if (images != job->reckoned)
        governor_settle(job->context->governor, images - job->reckoned);
    job->reckoned = images;
}

/* What the call really used, as far as that is known. */
static void settle(struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    struct governor *governor = job->context->governor;

    if (verdict->charge == CHARGE_VOID)
        reckon(job, 0);
    else if (verdict->charge == CHARGE_KNOWN)
        reckon(job, ark->generated > ark->images ? ark->generated : ark->images);
    if (verdict->pause_all)
        governor_tell(governor, GOVERN_REFUSED,
                      verdict->wait_ms ? verdict->wait_ms
                                       : backoff_delay_ms(&job->context->backoff, job->attempt, random_unit()));
    else if (verdict->charge == CHARGE_KNOWN)
        governor_tell(governor, GOVERN_OK, 0);
}

/* -- what is told to Redis */

static void finish(struct job_body *job, const char *outcome, enum charge charge, int64_t delay_ms, const char *data)
{
    const struct report_end end = {
        .outcome = outcome, .charge = charge_name(charge), .delay_ms = delay_ms, .data = data
    };

    enter(job, JOB_REPORTING, outcome);
    report_finish(job->report, &end);
}

/* What cannot be said whole is not said: Redis would keep it as it is. */
static void finish_with(struct job_body *job, const char *outcome, enum charge charge, int64_t delay_ms,
                        const struct buf *data)
{
    if (!buf_error(data)) {
        finish(job, outcome, charge, delay_ms, buf_text(data));
        return;
    }
    log_error("job", "the end cannot be reported", "task=%s outcome=%s error=\"%s\"", job->id, outcome,
              err_text(buf_error(data)));
    enter(job, JOB_REPORTING, outcome);
    report_fail(job->report);
}

static void write_event(const struct job_body *job, struct buf *out, struct process_event event)
{
    event.task_id = task_id_of(job->id);
    event.attempt = job->attempt;
    buf_init(out, EVENT_MAX);
    task_event_write_process(out, &event);
}

static int try_slot(struct job_body *job, struct process_event event)
{
    struct buf data, slot;
    int err;

    write_event(job, &data, event);
    buf_init(&slot, EVENT_MAX);
    task_event_write_slot(&slot, &event);
    buf_fail(&slot, buf_error(&data));
    err = buf_error(&slot);
    if (!err)
        err = report_emit(job->report, data.data, slot.data);
    buf_deinit(&slot);
    buf_deinit(&data);
    return err;
}

/* An image may be as large as its answer. Where there is no room for one, its slot has failed, and the result says so. */
static void emit_slot(struct job_body *job, struct process_event event)
{
    int err = try_slot(job, event);

    if (!err)
        return;
    log_error("job", "a slot cannot be reported", "task=%s index=%d error=\"%s\"", job->id, event.index, err_text(err));
    if (try_slot(job, (struct process_event){ .stage = STAGE_IMAGE_FAILED,
                                              .index = event.index,
                                              .code = problem_code(PROBLEM_INTERNAL),
                                              .message = "This image came, and could not be kept." }))
        report_fail(job->report);
}

static void on_slot(const struct ark_slot *slot, void *arg)
{
    struct job_body *job = arg;

    if (slot->url)
        emit_slot(job, (struct process_event){
                           .stage = STAGE_IMAGE, .index = slot->index, .url = slot->url, .size = slot->size });
    else
        emit_slot(
            job, (struct process_event){
                     .stage = STAGE_IMAGE_FAILED, .index = slot->index, .code = slot->code, .message = slot->message });
}

/* Slots that a broken answer did not come to: they may have been made and charged. */
static void emit_missing(struct job_body *job, const struct ark_result *ark)
{
    if (ark->completed || !ark->images)
        return;
    for (int i = 0; i < ark->expected; i++)
        if (!(ark->seen & BIT(i)))
            emit_slot(job, (struct process_event){ .stage = STAGE_IMAGE_FAILED,
                                                   .index = i,
                                                   .code = problem_code(PROBLEM_OUTCOME_UNKNOWN),
                                                   .message = "ARK's answer broke off before this image" });
}

static void finish_done(struct job_body *job, const struct ark_result *ark)
{
    char data[sizeof(ark->usage) + 16] = "";

    if (*ark->usage)
        (void)snprintf(data, sizeof(data), "\"usage\":%s", ark->usage);
    finish(job, "done", CHARGE_KNOWN, 0, data);
}

static void add_member(struct buf *out, const char *name, const char *text)
{
    buf_add_json(out, name, strlen(name));
    buf_add_char(out, ':');
    buf_add_json(out, text, strlen(text));
}

/* What FINISH merges into the error event: ARK's own code and id, for whoever asks ARK about it. */
static void write_more(struct buf *out, const struct ark_result *ark)
{
    const char *code;

    buf_init(out, MORE_MAX);
    if (!ark)
        return;
    code = *ark->error.code ? ark->error.code : ark->slot_error.code;
    if (*ark->request_id)
        add_member(out, "request_id", ark->request_id);
    if (*code) {
        buf_add_text(out, out->len ? "," : "");
        add_member(out, "ark_code", code);
    }
}

struct failure {
    enum problem problem;
    enum charge charge;
    bool retryable;
    const char *words;
    const struct ark_result *ark; /* NULL when ARK was not called */
};

static void finish_failed(struct job_body *job, const struct failure *failure)
{
    struct buf data, more;

    buf_init(&data, FAILURE_MAX);
    write_more(&more, failure->ark);
    buf_add_char(&data, '{');
    add_member(&data, "code", problem_code(failure->problem));
    buf_add_char(&data, ',');
    add_member(&data, "error", failure->words);
    buf_addf(&data, ",\"retryable\":%s", failure->retryable ? "true" : "false");
    if (more.len && !buf_error(&more)) {
        buf_add_char(&data, ',');
        add_member(&data, "more", buf_text(&more));
    }
    buf_add_char(&data, '}');
    finish_with(job, "failed", failure->charge, 0, &data);
    buf_deinit(&more);
    buf_deinit(&data);
}

static void finish_retry(struct job_body *job, const struct verdict *verdict, const char *words)
{
    const struct job_context *context = job->context;
    int64_t delay_ms = verdict->wait_ms;
    struct buf data;

    if (!delay_ms)
        delay_ms = backoff_delay_ms(&context->backoff, job->attempt, random_unit());
    write_event(
        job, &data,
        (struct process_event){
            .stage = STAGE_RETRYING, .delay_ms = delay_ms, .code = problem_code(verdict->problem), .message = words });
    finish_with(job, "retry", verdict->charge, delay_ms, &data);
    buf_deinit(&data);
}

static void finish_handback(struct job_body *job, enum charge charge)
{
    struct buf data;

    write_event(job, &data, (struct process_event){ .stage = STAGE_REQUEUED });
    finish_with(job, "handback", charge, 0, &data);
    buf_deinit(&data);
}

/* -- the call */

static void log_verdict(const struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    char words[256];

    log_info(
        "job", verdict_action_name(verdict->action),
        "task=%s attempt=%d call=%s images=%d failed=%d charge=%s code=%s status=%d ark_request=%s ms=%lld words=%s",
        job->id, job->attempt, job->call_id, ark->images, ark->failed, charge_name(verdict->charge),
        verdict->problem < PROBLEM_COUNT ? problem_code(verdict->problem) : "-", ark->http_status,
        *ark->request_id ? ark->request_id : "-", (long long)(clock_monotonic_ms() - job->started_ms),
        log_quote(words, sizeof(words), verdict->words));
}

static void act_on(struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    switch (verdict->action) {
    case VERDICT_DONE:
        finish_done(job, ark);
        break;
    case VERDICT_FAIL:
        finish_failed(job, &(struct failure){ .problem = verdict->problem,
                                              .charge = verdict->charge,
                                              .retryable = verdict->retryable,
                                              .words = verdict->words,
                                              .ark = ark });
        break;
    case VERDICT_RETRY:
        finish_retry(job, verdict, verdict->words);
        break;
    case VERDICT_CANCELLED:
        finish(job, "cancelled", verdict->charge, 0, "");
        break;
    }
}

/* The call is over, one way or the other; its token is gone. */
static void conclude(struct job_body *job, enum fetch_end end, const char *words)
{
    const struct ark_result *ark = ark_answer_end(job->answer, end == FETCH_ANSWERED ? NULL : words);
    const struct evidence evidence = {
        .end = end,
        .words = words,
        .ark = ark,
        .attempt = job->attempt,
        .max_attempts = job->context->max_attempts,
        .paid_calls = job->paid_calls,
        .max_paid_calls = job->max_paid_calls,
        .cancelled = job->cancelled,
    };
    struct verdict verdict;

    job->call = NULL;
    emit_missing(job, ark);
    verdict_decide(&evidence, &verdict);
    log_verdict(job, &verdict, ark);
    settle(job, &verdict, ark);
    act_on(job, &verdict, ark);
}

static void hang_up(struct job_body *job, enum fetch_end end, const char *words)
{
    fetch_cancel(job->call);
    conclude(job, end, words);
}

static void on_head(const struct fetch_head *head, void *arg)
{
    struct job_body *job = arg;

    ark_answer_head(job->answer, &(struct ark_head){ .status = head->status,
                                                     .content_type = head->content_type,
                                                     .retry_after = head->retry_after,
                                                     .request_id = head->request_id,
                                                     .now_ms = clock_wall_ms() });
}

static void on_data(const char *bytes, size_t len, void *arg)
{
    struct job_body *job = arg;
    int err = ark_answer_body(job->answer, bytes, len);

    if (err)
        hang_up(job, FETCH_BROKE, err == ERR_TOO_LONG ? "ARK's answer is longer than ARK_ANSWER_MAX" : err_text(err));
    else if (ark_answer_finished(job->answer))
        hang_up(job, FETCH_ANSWERED, "");
}

static void on_done(const struct fetch_outcome *outcome, void *arg)
{
    conclude(arg, outcome->end, outcome->words);
}

static int start_fetch(struct job_body *job)
{
    const struct job_context *context = job->context;
    char call_header[HEADER_SIZE];
    const char *const headers[] = { context->authorization, "Content-Type: application/json",
                                    job->request.stream ? "Accept: text/event-stream" : "Accept: application/json",
                                    call_header, NULL };
    const struct fetch_request request = {
        .url = context->ark_url,
        .headers = headers,
        .body = job->request.body,
        .body_len = job->request.len,
        .total_ms = context->ark_timeout_ms + (job->request.images - 1) * context->ark_timeout_per_image_ms,
        .answer_max = context->ark_answer_max,
        .events = { .on_head = on_head, .on_data = on_data, .on_done = on_done, .arg = job },
    };
    int err;

    (void)snprintf(call_header, sizeof(call_header), "X-Client-Request-Id: %s", job->call_id);
    err = fetch_start(context->fetch, &request, &job->call);
    if (!err)
        job->request.body = NULL; /* fetch's now */
    return err;
}

static void start_call(struct job_body *job)
{
    const struct ark_answer_setup setup = {
        .expected = job->request.images,
        .max_bytes = job->context->ark_answer_max,
        .max_line = job->context->ark_answer_max,
        .on_slot = on_slot,
        .arg = job,
    };
    int err;

    enter(job, JOB_CALLING, "the paid call is open");
    job->answer = ark_answer_create(&setup);
    if (!job->answer) {
        finish_handback(job, CHARGE_VOID);
        return;
    }
    err = start_fetch(job);
    if (err)
        conclude(job, FETCH_NEVER_LEFT, err_text(err));
    else
        log_info("job", "calls ARK", "task=%s attempt=%d call=%s images=%d stream=%d trace=%s", job->id, job->attempt,
                 job->call_id, job->request.images, job->request.stream, *job->trace ? job->trace : "-");
}

/* -- what Redis tells */

/* No call was made, so there is another try. */
static void finish_uncalled(struct job_body *job, const char *words)
{
    if (job->attempt < job->context->max_attempts)
        finish_retry(job, &(struct verdict){ .charge = CHARGE_VOID, .problem = PROBLEM_NOT_DURABLE }, words);
    else
        finish_failed(job,
                      &(struct failure){
                          .problem = PROBLEM_NOT_DURABLE, .charge = CHARGE_VOID, .retryable = true, .words = words });
}

static void on_begun(enum begin_answer answer, int paid_calls, void *arg)
{
    struct job_body *job = arg;

    switch (answer) {
    case BEGIN_OK:
        job->paid_calls = paid_calls;
        start_call(job);
        break;
    case BEGIN_CANCELLED:
        finish(job, "cancelled", CHARGE_NONE, 0, "");
        break;
    case BEGIN_NO_BUDGET:
        finish_failed(job, &(struct failure){ .problem = PROBLEM_OUTCOME_UNKNOWN,
                                              .charge = CHARGE_NONE,
                                              .words = "The task's budget of paid calls is used up." });
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
    job->started_ms = clock_monotonic_ms();
    make_call_id(job->call_id);
    job->reckoned = governor_images_per_call(context->governor);
    job->job.lease.id = job->id;
    job->job.lease.fence = job->fence;
    lease_add(context->leases, &job->job.lease);
    job->report = report_create(&(struct report_config){ .loop = context->loop,
                                                         .redis = context->redis,
                                                         .paid = context->paid,
                                                         .durable = context->durable,
                                                         .prefix = context->prefix,
                                                         .id = job->id,
                                                         .fence = job->fence,
                                                         .lease_ms = context->lease_ms,
                                                         .events = { .on_begun = on_begun,
                                                                     .on_cancelled = on_cancelled,
                                                                     .on_finished = on_finished,
                                                                     .on_lost = on_lost },
                                                         .arg = job });
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
    err = ark_request_build(&job->context->ark, &spec, &job->request);
    task_spec_deinit(&spec);
    if (!err)
        reckon(job, job->request.images);
    return err;
}

static void begin(struct job_body *job)
{
    struct buf data;

    write_event(job, &data, (struct process_event){ .stage = STAGE_CALLING });
    if (buf_error(&data))
        report_fail(job->report);
    else
        report_begin(job->report, job->call_id, job->request.images, buf_text(&data));
    buf_deinit(&data);
}

struct job *job_start(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = create(context, claimed);
    int err;

    if (!job)
        return NULL;
    err = build_request(job, claimed);
    if (err == ERR_NO_MEMORY)
        return job_destroy(&job->job);
    if (!err)
        begin(job);
    else
        finish_failed(
            job, &(struct failure){ .problem = err == ERR_SYNTAX ? PROBLEM_INVALID_TASK : PROBLEM_ARK_INVALID_REQUEST,
                                    .charge = CHARGE_NONE,
                                    .words = err == ERR_RANGE    ? "The model does not take that many reference images."
                                             : err == ERR_SYNTAX ? "The stored request cannot be read."
                                                                 : "The request is larger than ARK takes." });
    return &job->job;
}

struct job *job_hand_back(const struct job_context *context, const struct claimed_job *claimed)
{
    struct job_body *job = create(context, claimed);

    if (!job)
        return NULL;
    finish_handback(job, CHARGE_NONE);
    return &job->job;
}

struct job *job_destroy(struct job *base)
{
    struct job_body *job = base ? body_of(base) : NULL;

    if (!job)
        return NULL;
    if (job->call)
        fetch_cancel(job->call);
    lease_remove(job->context->leases, &job->job.lease);
    if (!job->answer)
        reckon(job, 0); /* it never came to a call */
    governor_release(job->context->governor);
    report_destroy(job->report);
    ark_answer_destroy(job->answer);
    ark_request_deinit(&job->request);
    free(job);
    return NULL;
}

void job_cancel(struct job *base)
{
    struct job_body *job = body_of(base);

    if (job->cancelled)
        return;
    job->cancelled = true; /* a job still BEGINNING hears it from BEGIN itself */
    if (job->state == JOB_CALLING)
        hang_up(job, FETCH_BROKE, "the client cancelled the task");
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

void job_resume(struct job *base)
{
    report_resume(body_of(base)->report);
}
