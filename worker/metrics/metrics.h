/* worker_metrics - what a worker counts; the rows are in worker_metrics.c, and docs/metrics.md has them all
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_METRICS_METRICS_H
#define ARKRELAY_WORKER_METRICS_METRICS_H

#include "common/shared_metrics.h"

struct ark_result;
struct verdict;

enum worker_metric {
    METRIC_TASK_QUEUE = METRIC_SHARED_COUNT,
    METRIC_TASK_SECONDS,
    METRIC_ARK_SECONDS,
    METRIC_ARK_CALLS,
    METRIC_ARK_REFUSALS,
    METRIC_IMAGES,
    METRIC_UNKNOWN_OUTCOMES,
    METRIC_RETRIES,
    METRIC_WORKER_SLOTS,
    METRIC_WORKER_BUSY,
    METRIC_IMAGES_LIMIT,
    METRIC_WORKER_COUNT,
};

/* METRIC_ARK_CALLS: what a call came to. */
enum ark_outcome {
    ARK_DONE,        /* at least one image came */
    ARK_REFUSED,     /* for good, and not charged */
    ARK_BUSY,        /* a rate limit, or ARK is overloaded; not charged */
    ARK_UNREACHABLE, /* the request never left */
    ARK_UNKNOWN,     /* nobody can tell whether it was charged */
    ARK_EMPTY,       /* charged, without an image that can be had */
    ARK_CANCELLED,   /* by the client, before anything was charged */
    ARK_OUTCOMES,
};

extern const struct metric_table worker_metric_table;

enum ark_outcome ark_outcome(const struct verdict *verdict);

/* An ARK call is over, after so long. */
void worker_metrics_call(struct metrics *metrics, const struct verdict *verdict, int64_t ms);

/* A task's time since its creation, which Redis's clock has told, by this machine's. */
void worker_metrics_since(struct metrics *metrics, enum worker_metric row, int64_t epoch_ms);

#endif
