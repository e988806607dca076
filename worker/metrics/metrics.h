/* worker_metrics - the metrics of a worker; the table is in metrics.c, docs/metrics.md describes them
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_METRICS_METRICS_H
#define ARKRELAY_WORKER_METRICS_METRICS_H

#include <stdbool.h>

#include "common/base/problem.h"
#include "common/ops/shared_metrics.h"
#include "common/webhook/verdict.h"
#include "worker/ark/verdict.h"

enum worker_metric {
    METRIC_TASK_QUEUE = METRIC_SHARED_COUNT,
    METRIC_TASK_SECONDS,
    METRIC_ARK_SECONDS,
    METRIC_ARK_CALLS,
    METRIC_ARK_REFUSALS,
    METRIC_IMAGES,
    METRIC_UNKNOWN_OUTCOMES,
    METRIC_RETRIES,
    METRIC_DEFERRALS,
    METRIC_WORKER_SLOTS,
    METRIC_WORKER_BUSY,
    METRIC_IMAGES_LIMIT,
    METRIC_COPIES,
    METRIC_COPIED_BYTES,
    METRIC_PICTURES_DELETED,
    METRIC_PICTURES_GIVEN_UP,
    METRIC_COPIES_WAITING,
    METRIC_STORAGE_FAILING,
    METRIC_WEBHOOKS,
    METRIC_WEBHOOK_SECONDS,
    METRIC_WORKER_COUNT,
};

/* The label `outcome` of METRIC_ARK_CALLS. */
enum ark_outcome {
    ARK_DONE,        /* at least one image was delivered */
    ARK_REFUSED,     /* permanently, not charged */
    ARK_BUSY,        /* rate limited or overloaded, not charged */
    ARK_UNREACHABLE, /* the request was not sent */
    ARK_UNKNOWN,     /* may have been charged */
    ARK_EMPTY,       /* charged, but no image was delivered */
    ARK_CANCELLED,   /* by the client, not charged */
    ARK_OUTCOMES,
};

/* The end of a copy of a picture; the label `outcome` of METRIC_COPIES. */
enum copy_end {
    COPY_STORED,
    COPY_GONE,      /* ARK's host does not have it: the link has expired */
    COPY_FORBIDDEN, /* the link does not lead to the public internet, or is none */
    COPY_TOO_LARGE,
    COPY_NOT_IMAGE, /* not a whole image of a known type */
    COPY_HOST,      /* the host failed: not reached, too slow, 5xx, cut */
    COPY_STORAGE,   /* the storage cannot take it at present: full, denied, failed */
    COPY_END_COUNT,
};

const char *
copy_end_name(enum copy_end end); /* "stored", "link_expired" ...: stable words for logs, metrics and Redis */

extern const struct metric_table worker_metric_table;

enum ark_outcome ark_outcome(const struct verdict *verdict);

/* An ARK call has ended after `ms`. */
void worker_metrics_call(struct metrics *metrics, const struct verdict *verdict, int64_t ms);

/* An attempt to deliver a webhook has ended after `ms`. */
void worker_metrics_webhook(struct metrics *metrics, enum webhook_code code, int64_t ms);

/* The task goes back: for another attempt, or deferred, which uses up none. */
void worker_metrics_delayed(struct metrics *metrics, enum verdict_action action, enum problem problem);

/* Observes the time since the task was created. epoch_ms is from Redis's clock, the current time from this machine's. 0: unknown. */
void worker_metrics_since(struct metrics *metrics, enum worker_metric row, int64_t epoch_ms);

#endif
