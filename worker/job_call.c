#include <stdio.h>
#include <stdlib.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "worker/governor.h"
#include "worker/job_body.h"
#include "worker/redact.h"
#include "worker/worker_metrics.h"

enum { HEADER_SIZE = 128, LOG_WORDS_MAX = 1024 };

/* What the call really used, as far as that is known, and what it says about the account. Returns whether Redis has to say first if this call was the
 * first that found the account or model closed. */
static bool settle(struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    struct governor *governor = job->context->governor;
    char why[SCOPE_WHY_SIZE];

    if (verdict->charge == CHARGE_VOID)
        governor_book(governor, &job->permit, job->model, 0);
    else if (verdict->charge == CHARGE_KNOWN)
        governor_book(governor, &job->permit, job->model, ark->generated > ark->images ? ark->generated : ark->images);
    return governor_note(governor, &job->permit,
                         &(struct call_report){.news = account_news_of(verdict),
                                               .asks_first = job->judged != NULL,
                                               .began_ms = job->called_ms,
                                               .took_ms = clock_monotonic_ms() - job->called_ms,
                                               .pause_ms = verdict->until_ms ? 0 : verdict->wait_ms,
                                               .until_ms = verdict->until_ms,
                                               .problem = verdict->problem,
                                               .why = redact(why, sizeof(why), verdict->words)});
}

static void log_verdict(const struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    char plain[VERDICT_WORDS_MAX], words[LOG_WORDS_MAX];

    if (!log_enabled(LOG_INFO))
        return;
    log_info(
        "job", verdict_action_name(verdict->action),
        "task=%s attempt=%d call=%s images=%d failed=%d charge=%s code=%s status=%d ark_request=%s ms=%lld words=%s",
        job->id, job->attempt, job->call_id, ark->images, ark->failed, charge_name(verdict->charge),
        verdict->problem < PROBLEM_COUNT ? problem_code(verdict->problem) : "-", ark->http_status,
        *ark->request_id ? ark->request_id : "-", (long long)(clock_monotonic_ms() - job->started_ms),
        log_quote(words, sizeof(words), redact(plain, sizeof(plain), verdict->words)));
}

static void act_on(struct job_body *job, const struct verdict *verdict, const struct ark_result *ark)
{
    log_verdict(job, verdict, ark);
    worker_metrics_call(job->context->metrics, verdict, clock_monotonic_ms() - job->called_ms);
    switch (verdict->action) {
    case VERDICT_DONE:
        job_finish_done(job, ark);
        break;
    case VERDICT_FAIL:
        job_finish_failed(job, &(struct job_failure){.problem = verdict->problem,
                                                     .charge = verdict->charge,
                                                     .retryable = verdict->retryable,
                                                     .words = verdict->words,
                                                     .ark = ark});
        break;
    case VERDICT_RETRY:
        job_finish_retry(job, verdict, verdict->words);
        break;
    case VERDICT_DEFER:
        job_finish_defer(job, verdict);
        break;
    case VERDICT_CANCELLED:
        job_finish_cancelled(job, verdict->charge);
        break;
    }
}

/* False when out of memory. */
static bool have_answer(struct job_body *job)
{
    const struct ark_answer_setup setup = {
        .expected = job->request.images,
        .max_bytes = job->context->ark_answer_max,
        .max_line = job->context->ark_answer_max,
        .secret = job->context->ark_key,
        .on_slot = job_on_slot,
        .arg = job,
    };

    if (!job->answer)
        job->answer = ark_answer_create(&setup);
    return job->answer;
}

static const struct ark_result *end_answer(struct job_body *job, const char *broke)
{
    return have_answer(job) ? ark_answer_end(job->answer, broke) : &ark_result_none;
}

/* Of all tasks that find the account or model closed, the first one fails. NULL where that is not asked, or when out of memory: then this one fails. */
static struct verdict *keep_for_judgement(const struct verdict *verdict)
{
    struct verdict *kept = NULL;

    if (verdict->action == VERDICT_FAIL && verdict_is_closing(verdict->problem))
        kept = malloc(sizeof(*kept));
    if (kept)
        *kept = *verdict;
    return kept;
}

void job_call_judge(struct job_body *job, bool first)
{
    if (!first)
        job->judged->action = VERDICT_DEFER;
    act_on(job, job->judged, end_answer(job, NULL));
}

/* The call is over, one way or the other; its token is gone. */
static void conclude(struct job_body *job, enum fetch_end end, const char *words)
{
    const struct ark_result *ark = end_answer(job, end == FETCH_ANSWERED ? NULL : words);
    const struct evidence evidence = {
        .end = end,
        .words = words,
        .ark = ark,
        .attempt = job->attempt,
        .max_attempts = job->context->max_attempts,
        .paid_calls = job->paid_calls,
        .max_paid_calls = job->max_paid_calls,
        .cancelled = job->cancelled,
        .closed = governor_is_closed(job->context->governor, job->model),
        .now_ms = clock_wall_ms(),
    };
    struct verdict verdict;

    job->call = NULL;
    job_tell_missing(job, ark);
    verdict_decide(&evidence, &verdict);
    job->judged = keep_for_judgement(&verdict);
    if (settle(job, &verdict, ark))
        job_enter(job, JOB_JUDGING, "the account or the model is closed");
    else
        act_on(job, &verdict, ark);
}

void job_call_hang_up(struct job_body *job, enum fetch_end end, const char *words)
{
    fetch_cancel(job->call);
    conclude(job, end, words);
}

static void on_head(const struct fetch_head *head, void *arg)
{
    struct job_body *job = arg;

    if (!have_answer(job)) {
        job_call_hang_up(job, FETCH_BROKE, err_text(ERR_NO_MEMORY));
        return;
    }
    ark_answer_head(job->answer, &(struct ark_head){.status = head->status,
                                                    .content_type = head->content_type,
                                                    .retry_after = head->retry_after,
                                                    .request_id = head->request_id,
                                                    .now_ms = clock_wall_ms()});
}

static void on_data(const char *bytes, size_t len, void *arg)
{
    struct job_body *job = arg;
    int err = ark_answer_body(job->answer, bytes, len);

    if (err)
        job_call_hang_up(job, FETCH_BROKE,
                         err == ERR_TOO_LONG ? "ARK's answer is longer than ARK_ANSWER_MAX" : err_text(err));
    else if (ark_answer_finished(job->answer))
        job_call_hang_up(job, FETCH_ANSWERED, "");
    else if (ark_answer_settled(job->answer))
        fetch_end_within(job->call, job->context->ark_end_ms);
}

static void on_done(const struct fetch_outcome *outcome, void *arg)
{
    conclude(arg, outcome->end, outcome->words);
}

static int start_fetch(struct job_body *job)
{
    const struct job_context *context = job->context;
    int64_t more_ms = (job->request.images - 1) * context->ark_timeout_per_image_ms;
    char call_header[HEADER_SIZE];
    const char *const headers[] = {context->authorization, "Content-Type: application/json",
                                   job->request.stream ? "Accept: text/event-stream" : "Accept: application/json",
                                   call_header, NULL};
    const struct fetch_request request = {
        .url = context->ark_url,
        .headers = headers,
        .body = job->request.body,
        .body_len = job->request.len,
 /* Without a stream the head comes with the last image. */
        .first_byte_ms = context->ark_first_byte_ms + (job->request.stream ? 0 : more_ms),
        .total_ms = context->ark_timeout_ms + more_ms,
        .answer_max = context->ark_answer_max,
        .events = {.on_head = on_head, .on_data = on_data, .on_done = on_done, .arg = job},
    };
    int err;

    (void)snprintf(call_header, sizeof(call_header), "X-Client-Request-Id: %s", job->call_id);
    err = fetch_start(context->fetch, &request, &job->call);
    if (!err)
        job->request.body = NULL; /* fetch's now */
    return err;
}

void job_call_start(struct job_body *job)
{
    int err;

    job_enter(job, JOB_CALLING, "the paid call is open");
    job->called_ms = clock_monotonic_ms();
    err = start_fetch(job);
    if (err)
        conclude(job, FETCH_NEVER_LEFT, err_text(err));
    else
        log_info("job", "calls ARK", "task=%s attempt=%d call=%s images=%d stream=%d trace=%s", job->id, job->attempt,
                 job->call_id, job->request.images, job->request.stream, *job->trace ? job->trace : "-");
}
