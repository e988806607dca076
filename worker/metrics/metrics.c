#include "worker/metrics/metrics.h"

#include "common/base/clock.h"
#include "common/base/macros.h"
#include "worker/account/news.h"
#include "worker/ark/verdict.h"

#define SECOND INT64_C(1000000) /* in millionths */

enum { MILLI = 1000, CALL_BOUNDS = 14, TASK_BOUNDS = 16, QUEUE_BOUNDS = 14, WEBHOOK_BOUNDS = 8 };

/* A call takes 10 to 90 seconds, with many images up to 10 minutes. */
static const int64_t call_bounds[CALL_BOUNDS] = {1 * SECOND,   2 * SECOND,   5 * SECOND,   10 * SECOND, 15 * SECOND,
                                                 20 * SECOND,  30 * SECOND,  45 * SECOND,  60 * SECOND, 90 * SECOND,
                                                 120 * SECOND, 180 * SECOND, 300 * SECOND, 600 * SECOND};
static const int64_t task_bounds[TASK_BOUNDS] = {
    1 * SECOND,  2 * SECOND,  5 * SECOND,   10 * SECOND,  15 * SECOND,  20 * SECOND,  30 * SECOND,   45 * SECOND,
    60 * SECOND, 90 * SECOND, 120 * SECOND, 180 * SECOND, 300 * SECOND, 600 * SECOND, 1800 * SECOND, 3600 * SECOND};
static const int64_t queue_bounds[QUEUE_BOUNDS] = {
    10 * MILLI,  50 * MILLI,  100 * MILLI,  500 * MILLI,  1 * SECOND,   5 * SECOND,    10 * SECOND,
    30 * SECOND, 60 * SECOND, 120 * SECOND, 300 * SECOND, 600 * SECOND, 1800 * SECOND, 3600 * SECOND};

static const int64_t webhook_bounds[WEBHOOK_BOUNDS] = {50 * MILLI, 100 * MILLI, 250 * MILLI, 500 * MILLI,
                                                       1 * SECOND, 2 * SECOND,  5 * SECOND,  15 * SECOND};

static const char *const outcomes[ARK_OUTCOMES] = {
    [ARK_DONE] = "done",           [ARK_REFUSED] = "refused",
    [ARK_BUSY] = "busy",           [ARK_UNREACHABLE] = "unreachable",
    [ARK_UNKNOWN] = "unknown",     [ARK_EMPTY] = "empty",
    [ARK_CANCELLED] = "cancelled",
};

/* The label `kind` of METRIC_ARK_REFUSALS. */
static const enum problem refusals[] = {
    PROBLEM_ARK_RATE_LIMITED,      PROBLEM_ARK_OVERLOADED,      PROBLEM_ARK_QUOTA_EXCEEDED, PROBLEM_ARK_UNAUTHORIZED,
    PROBLEM_ARK_MODEL_UNAVAILABLE, PROBLEM_ARK_CONTENT_REFUSED, PROBLEM_ARK_INVALID_REQUEST};
static const char *const kinds[ARRAY_LENGTH(refusals)] = {"rate_limited",   "overloaded",        "quota_exceeded",
                                                          "unauthorized",   "model_unavailable", "content_refused",
                                                          "invalid_request"};

/* The label `kind` of METRIC_DEFERRALS. */
static const enum problem deferrals[] = {PROBLEM_ARK_UNREACHABLE,  PROBLEM_ARK_RATE_LIMITED,
                                         PROBLEM_ARK_OVERLOADED,   PROBLEM_ARK_QUOTA_EXCEEDED,
                                         PROBLEM_ARK_UNAUTHORIZED, PROBLEM_ARK_MODEL_UNAVAILABLE};
static const char *const deferral_kinds[ARRAY_LENGTH(deferrals)] = {
    "unreachable", "rate_limited", "overloaded", "quota_exceeded", "unauthorized", "model_unavailable"};

static const char *const copy_ends[COPY_END_COUNT] = {
    [COPY_STORED] = "stored",       [COPY_GONE] = "link_expired",   [COPY_FORBIDDEN] = "not_public",
    [COPY_TOO_LARGE] = "too_large", [COPY_NOT_IMAGE] = "not_image", [COPY_HOST] = "host_failed",
    [COPY_STORAGE] = "storage",
};

/* clang-format off */
static const struct metric rows[METRIC_WORKER_COUNT] = {
    SHARED_METRIC_ROWS,
    [METRIC_TASK_QUEUE] = {.name = "arkrelay_task_queue_seconds", .type = METRIC_HISTOGRAM, .bounds = queue_bounds,
        .bound_count = QUEUE_BOUNDS,
        .help = "Time from a task's creation to its first attempt, by this machine's clock."},
    [METRIC_TASK_SECONDS] = {.name = "arkrelay_task_seconds", .type = METRIC_HISTOGRAM, .bounds = task_bounds,
        .bound_count = TASK_BOUNDS,
        .help = "Time from a task's creation to its end, for tasks that this worker ended, by this machine's clock."},
    [METRIC_ARK_SECONDS] = {.name = "arkrelay_ark_seconds", .type = METRIC_HISTOGRAM, .bounds = call_bounds,
        .bound_count = CALL_BOUNDS,
        .help = "Duration of ARK calls, from the request to the end of the answer."},
    [METRIC_ARK_CALLS] = {.name = "arkrelay_ark_calls", .type = METRIC_COUNTER, .labels = {{"outcome", outcomes, ARK_OUTCOMES}},
        .help = "ARK calls by outcome, without the probes of a circuit breaker."},
    [METRIC_ARK_REFUSALS] = {.name = "arkrelay_ark_refusals", .type = METRIC_COUNTER, .labels = {{"kind", kinds, ARRAY_LENGTH(kinds)}},
        .help = "ARK calls that ARK refused, by reason."},
    [METRIC_IMAGES] = {.name = "arkrelay_images", .type = METRIC_COUNTER,
        .help = "Images that ARK delivered to this worker."},
    [METRIC_UNKNOWN_OUTCOMES] = {.name = "arkrelay_unknown_outcomes", .type = METRIC_COUNTER,
        .help = "ARK calls that may have been charged although no answer arrived; calls of lost workers are counted in "
                "arkrelay_tasks_total, reaped."},
    [METRIC_RETRIES] = {.name = "arkrelay_retries", .type = METRIC_COUNTER,
        .help = "Attempts after which this worker put the task back for another one, without deferrals."},
    [METRIC_DEFERRALS] = {.name = "arkrelay_deferrals", .type = METRIC_COUNTER, .labels = {{"kind", deferral_kinds, ARRAY_LENGTH(deferral_kinds)}},
        .help = "Tasks that this worker put back without using up an attempt, by reason."},
    [METRIC_WORKER_SLOTS] = {.name = "arkrelay_worker_slots", .type = METRIC_GAUGE,
        .help = "Maximum number of ARK calls in flight in this worker."},
    [METRIC_WORKER_BUSY] = {.name = "arkrelay_worker_busy", .type = METRIC_GAUGE,
        .help = "Jobs in flight in this worker."},
    [METRIC_IMAGES_LIMIT] = {.name = "arkrelay_images_per_minute_limit", .type = METRIC_GAUGE,
        .help = "ARK_IMAGES_PER_MINUTE of this worker, the limit of the account for all workers together; 0: no limit."},
    [METRIC_COPIES] = {.name = "arkrelay_copies", .type = METRIC_COUNTER, .labels = {{"outcome", copy_ends, COPY_END_COUNT}},
        .help = "Attempts of this worker to copy a picture into the storage, by outcome."},
    [METRIC_COPIED_BYTES] = {.name = "arkrelay_copied_bytes", .type = METRIC_COUNTER,
        .help = "Bytes of the pictures that this worker has stored."},
    [METRIC_PICTURES_DELETED] = {.name = "arkrelay_pictures_deleted", .type = METRIC_COUNTER,
        .help = "Pictures that this worker has deleted from the storage, erased and expired ones."},
    [METRIC_PICTURES_GIVEN_UP] = {.name = "arkrelay_pictures_given_up", .type = METRIC_COUNTER,
        .help = "Pictures that this worker has given up: they were never stored, and their addresses answer 404."},
    [METRIC_COPIES_WAITING] = {.name = "arkrelay_copies_waiting", .type = METRIC_GAUGE,
        .help = "Pictures of all workers that wait to be copied into the storage, without those in progress."},
    [METRIC_WEBHOOKS] = {.name = "arkrelay_webhooks", .type = METRIC_COUNTER, .labels = {{"outcome", webhook_code_names, WEBHOOK_CODE_COUNT}},
        .help = "Attempts of this worker to deliver a webhook, by outcome."},
    [METRIC_WEBHOOK_SECONDS] = {.name = "arkrelay_webhook_seconds", .type = METRIC_HISTOGRAM, .bounds = webhook_bounds,
        .bound_count = WEBHOOK_BOUNDS, .help = "Duration of those attempts."},
    [METRIC_STORAGE_FAILING] = {.name = "arkrelay_storage_failing", .type = METRIC_GAUGE,
        .help = "1 while this worker's last copy failed because of the storage, else 0."},
};
/* clang-format on */

const struct metric_table worker_metric_table = {rows, METRIC_WORKER_COUNT};

const char *copy_end_name(enum copy_end end)
{
    return copy_ends[end];
}

enum ark_outcome ark_outcome(const struct verdict *verdict)
{
    if (verdict->action == VERDICT_DONE)
        return ARK_DONE;
    if (account_news_of(verdict) == NEWS_BUSY)
        return ARK_BUSY;
    if (verdict->charge == CHARGE_UNKNOWN)
        return ARK_UNKNOWN;
    if (verdict->charge == CHARGE_KNOWN)
        return ARK_EMPTY;
    if (verdict->action == VERDICT_CANCELLED)
        return ARK_CANCELLED;
    return verdict->problem == PROBLEM_ARK_UNREACHABLE ? ARK_UNREACHABLE : ARK_REFUSED;
}

void worker_metrics_call(struct metrics *metrics, const struct verdict *verdict, int64_t ms)
{
    enum ark_outcome outcome = ark_outcome(verdict);

    metrics_observe(metrics, METRIC_ARK_SECONDS, ms * MILLI, 1);
    metrics_add(metrics, SAMPLE(METRIC_ARK_CALLS, outcome), 1);
    if (outcome == ARK_UNKNOWN)
        metrics_add(metrics, SAMPLE(METRIC_UNKNOWN_OUTCOMES), 1);
    for (unsigned i = 0; i < ARRAY_LENGTH(refusals); i++)
        if (refusals[i] == verdict->problem)
            metrics_add(metrics, SAMPLE(METRIC_ARK_REFUSALS, i), 1);
}

void worker_metrics_webhook(struct metrics *metrics, enum webhook_code code, int64_t ms)
{
    metrics_add(metrics, SAMPLE(METRIC_WEBHOOKS, code), 1);
    metrics_observe(metrics, METRIC_WEBHOOK_SECONDS, ms * MILLI, 1);
}

void worker_metrics_delayed(struct metrics *metrics, enum verdict_action action, enum problem problem)
{
    bool deferred = action == VERDICT_DEFER;

    if (!deferred)
        metrics_add(metrics, SAMPLE(METRIC_RETRIES), 1);
    for (unsigned i = 0; deferred && i < ARRAY_LENGTH(deferrals); i++)
        if (deferrals[i] == problem)
            metrics_add(metrics, SAMPLE(METRIC_DEFERRALS, i), 1);
}

void worker_metrics_since(struct metrics *metrics, enum worker_metric row, int64_t epoch_ms)
{
    int64_t ms = clock_wall_ms() - epoch_ms;

    if (epoch_ms)
        metrics_observe(metrics, row, ms > 0 ? ms * MILLI : 0, 1);
}
