#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/random.h"
#include "common/task_event.h"
#include "worker/job/job_body.h"
#include "worker/metrics/metrics.h"

enum {
    EVENT_MAX = 96 << 20,
    MORE_MAX = 8 * (ARK_REQUEST_ID_MAX + ARK_CODE_MAX), /* each byte may become six */
    FAILURE_MAX = 8 * (VERDICT_WORDS_MAX + MORE_MAX),
};

static void finish(struct job_body *job, const char *outcome, enum charge charge, int64_t delay_ms, const char *data)
{
    const struct report_end end = {
        .outcome = outcome, .charge = charge_name(charge), .delay_ms = delay_ms, .data = data};

    job_enter(job, JOB_REPORTING, outcome);
    if (strcmp(outcome, "retry") != 0 && strcmp(outcome, "defer") != 0 && strcmp(outcome, "handback") != 0)
        worker_metrics_since(job->context->metrics, METRIC_TASK_SECONDS, job->epoch_ms);
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
    job_enter(job, JOB_REPORTING, outcome);
    report_fail(job->report);
}

static void write_process(const struct job_body *job, struct buf *out, struct process_event event)
{
    event.task_id = task_id_of(job->id);
    event.attempt = job->attempt;
    buf_init(out, EVENT_MAX);
    task_event_write_process(out, &event);
}

void job_tell_begin(struct job_body *job)
{
    struct buf data;

    write_process(job, &data, (struct process_event){.stage = STAGE_CALLING});
    if (buf_error(&data))
        report_fail(job->report);
    else
        report_begin(job->report, job->call_id, job->request.images, buf_text(&data));
    buf_deinit(&data);
}

static int try_slot(struct job_body *job, struct process_event event)
{
    struct buf data, slot;
    int err;

    write_process(job, &data, event);
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
static void tell_slot(struct job_body *job, struct process_event event)
{
    int err = try_slot(job, event);

    if (!err)
        return;
    log_error("job", "a slot cannot be reported", "task=%s index=%d error=\"%s\"", job->id, event.index, err_text(err));
    if (try_slot(job, (struct process_event){.stage = STAGE_IMAGE_FAILED,
                                             .index = event.index,
                                             .code = problem_code(PROBLEM_INTERNAL),
                                             .message = "This image came, and could not be kept."}))
        report_fail(job->report);
}

void job_on_slot(const struct ark_slot *slot, void *arg)
{
    struct job_body *job = arg;

    metrics_add(job->context->metrics, SAMPLE(METRIC_IMAGES), slot->url != NULL);
    if (slot->url)
        tell_slot(job, (struct process_event){
                           .stage = STAGE_IMAGE, .index = slot->index, .url = slot->url, .size = slot->size});
    else
        tell_slot(job,
                  (struct process_event){
                      .stage = STAGE_IMAGE_FAILED, .index = slot->index, .code = slot->code, .message = slot->message});
}

void job_finish_done(struct job_body *job, const struct ark_result *ark)
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

void job_finish_failed(struct job_body *job, const struct job_failure *failure)
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

/* A task whose trial call failed steps aside for long, so that the next trial is another task's. */
static int64_t choose_delay(const struct job_body *job, const struct verdict *verdict, int tries)
{
    if (verdict->wait_ms)
        return verdict->wait_ms;
    if (job->trial)
        return job->context->backoff.max_ms;
    return backoff_delay_ms(&job->context->backoff, tries, random_unit());
}

static void put_back(struct job_body *job, const char *outcome, const struct verdict *verdict, int64_t delay_ms,
                     const char *words)
{
    struct buf data;

    write_process(
        job, &data,
        (struct process_event){
            .stage = STAGE_RETRYING, .delay_ms = delay_ms, .code = problem_code(verdict->problem), .message = words});
    finish_with(job, outcome, verdict->charge, delay_ms, &data);
    metrics_add(job->context->metrics, SAMPLE(METRIC_RETRIES), 1);
    buf_deinit(&data);
}

void job_finish_retry(struct job_body *job, const struct verdict *verdict, const char *words)
{
    put_back(job, "retry", verdict, choose_delay(job, verdict, job->attempt), words);
}

void job_finish_defer(struct job_body *job, const struct verdict *verdict)
{
    put_back(job, "defer", verdict, choose_delay(job, verdict, job->deferrals + 1), verdict->words);
}

void job_finish_handback(struct job_body *job, enum charge charge)
{
    struct buf data;

    write_process(job, &data, (struct process_event){.stage = STAGE_REQUEUED});
    finish_with(job, "handback", charge, 0, &data);
    buf_deinit(&data);
}

void job_finish_cancelled(struct job_body *job, enum charge charge)
{
    finish(job, "cancelled", charge, 0, "");
}
