/* submit - create a task in Redis from a validated request, in one atomic step (script SUBMIT)
 *
 * A SUBMIT that was sent may take effect even if the client has disconnected. So the call always runs to its end, and an accepted
 * task is always logged. If a new task was accepted for a client that is gone, on_abandoned is called.
 *
 * The tasks of one order of the OpenAI API are created together (script SUBMIT_ORDER).
 *
 * Where a spending limit applies, RESERVE comes first. If it refuses, SUBMIT is sent all the same, and only answers for a task that exists:
 * a repeated request needs no room. Reservations that no new task has got are released.
 *
 * Ownership: the submitter copies what it needs; the caller keeps the submission.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_SUBMIT_H
#define ARKRELAY_GATEWAY_TASKS_SUBMIT_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/problem.h"
#include "common/task/task.h"
#include "common/task/task_spec.h"
#include "gateway/request/headers.h"
#include "gateway/request/on_disconnect.h"
#include "gateway/tasks/reserve.h"

struct event_log;
struct redis;
struct submitter;
struct submit_call;

enum { REQUEST_ID_SIZE = 65, /* the HTTP server limits request ids to 64 bytes */ OWES_SIZE = 8 };

#define OWES_LIST "l" /* a place in the list of the client's tasks */

struct submission {
    char full_id[TASK_FULL_ID_SIZE];
    char hash[TASK_HASH_SIZE];
    char trace[TRACE_SIZE]; /* "": none */
    char request_id[REQUEST_ID_SIZE];
    int max_paid_calls;
    char owes[OWES_SIZE];             /* letters of the field `owes` of the task */
    enum on_disconnect on_disconnect; /* of this connection; not stored */
    int64_t client_queued_max;        /* live tasks that the client may have */
    int64_t images;                   /* images that this task may produce */
    int64_t client_images_max;        /* images of the client per UTC day; 0: no limit */
    struct money_terms money;         /* what the ledger must know of it */
    char *request, *plan;             /* canonical JSON, see task_spec.h and plan_text.h */
};

struct submission *submission_destroy(struct submission *submission); /* accepts NULL; returns NULL */

enum submit_outcome {
    SUBMIT_NEW,
    SUBMIT_SAME, /* the task exists, with the same request */
    SUBMIT_CONFLICT,
    SUBMIT_FULL,
    SUBMIT_CLIENT_FULL, /* the client has the maximum number of live tasks */
    SUBMIT_IMAGES,      /* the client has used its images of today */
    SUBMIT_BUDGET,      /* a spending limit has no room for it */
    SUBMIT_UNPRICED,    /* a spending limit applies, and its price is not known */
    SUBMIT_PAUSED,
    SUBMIT_FAILED, /* no usable reply from Redis; the task may exist */
};

enum problem submit_problem(enum submit_outcome outcome); /* for outcomes other than NEW and SAME */

struct submit_result {
    enum submit_outcome outcome;
    const struct event_log *log;     /* for NEW and SAME, else NULL */
    int64_t images_left;             /* for NEW: of the client's day; -1: no limit */
    int64_t day_left_ms;             /* for NEW, IMAGES and BUDGET: until the limit is reset; else 0 */
    const struct spending *spending; /* for NEW and BUDGET, where a spending limit applies; else NULL */
};
typedef void submit_fn(const struct submit_result *result, void *arg);

struct submitter_config {
    struct redis *redis; /* borrowed */
    int64_t queue_limit, queue_ttl_ms, retention_ms;
    /* A new task was accepted after submit_cancel. */
    void (*on_abandoned)(const char *full_id, enum on_disconnect what, void *arg);
    void (*on_spending)(const struct spending *spending, void *arg); /* RESERVE has answered; may be NULL */
    void *arg;
};
struct submitter *submitter_create(const struct submitter_config *config); /* NULL when out of memory */
struct submitter *submitter_destroy(struct submitter *submitter);          /* accepts NULL; returns NULL */

/* On success `done` is called exactly once, unless submit_cancel is called first: then never. */
int submit_start(struct submitter *submitter, struct submission *submission, submit_fn *done, void *arg,
                 struct submit_call **call) MUST_CHECK;
void submit_cancel(struct submit_call *call); /* accepts NULL; does not undo the SUBMIT */

/* The tasks of an order, all accepted or none. Tasks of it that have failed without a charge run again, and are NEW. All submissions have
 * the same client, limits, images, terms of money (but for the reservation), trace and request id. on_abandoned is not called: its tasks continue.
 * Accepted: one result per task, all with a log. Refused: one result without a log. */
enum { SUBMIT_ORDER_MAX = 10 };
typedef void submit_order_fn(const struct submit_result *results, void *arg);
int submit_order_start(struct submitter *submitter, const char *order_id, struct submission *const submissions[],
                       size_t count, submit_order_fn *done, void *arg, struct submit_call **call) MUST_CHECK;

#endif
