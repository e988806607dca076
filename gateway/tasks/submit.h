/* submit - create a task in Redis from a validated request, in one atomic step (script SUBMIT)
 *
 * A SUBMIT that was sent may take effect even if the client has disconnected. So the call always runs to its end, and an accepted
 * task is always logged. If a new task was accepted for a client that is gone, on_abandoned is called.
 *
 * A submission with uploads is sent after the script INPUTS has told the names of their objects. If it cannot be fulfilled, a task that
 * exists is found nevertheless.
 *
 * The tasks of one order of the OpenAI API are created together (script SUBMIT_ORDER). The same step finds the order that the request
 * repeats, and then creates nothing: the caller submits again with the ids of that order.
 *
 * Where a spending limit applies, RESERVE comes before SUBMIT. If it refuses, SUBMIT is sent all the same, and only looks for the task: a
 * repeated request needs no room. Reservations that no new task has got are released.
 *
 * Ownership: the submitter copies what it needs; the caller keeps the submission.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_SUBMIT_H
#define ARKRELAY_GATEWAY_TASKS_SUBMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/problem.h"
#include "common/task/task.h"
#include "common/task/task_spec.h"
#include "gateway/request/on_disconnect.h"
#include "gateway/tasks/submission.h"

struct event_log;
struct redis;
struct submitter;
struct submit_call;

enum submit_outcome {
    SUBMIT_NEW,
    SUBMIT_SAME,  /* the task exists, with the same request */
    SUBMIT_FOUND, /* the request repeats an order, see submit_order_start */
    SUBMIT_CONFLICT,
    SUBMIT_FULL,
    SUBMIT_CLIENT_FULL, /* the client has the maximum number of live tasks */
    SUBMIT_IMAGES,      /* the client has used its images of today */
    SUBMIT_BUDGET,      /* the task does not exist, and a spending limit has no room for it */
    SUBMIT_UNPRICED,    /* the task does not exist, a spending limit applies, and its price is not known */
    SUBMIT_PAUSED,
    SUBMIT_UNKNOWN_UPLOAD,   /* the task does not exist, and its uploads do not either */
    SUBMIT_INPUTS_TOO_LARGE, /* the task does not exist, and its images are too large together */
    SUBMIT_FAILED,           /* no usable reply from Redis; the task may exist */
};

enum problem submit_problem(enum submit_outcome outcome); /* for outcomes other than NEW, SAME and FOUND */

enum {
    ORDER_ID_BYTES = 16,
    ORDER_ID_SIZE = 2 * ORDER_ID_BYTES + 1,
    ORDER_HASH_SIZE = TASK_CLIENT_MAX + 1 + TASK_HASH_SIZE
};

/* An order of the OpenAI API, and what its repetitions have in common. Hashes have the client's name in front: "<client>.<hash>". */
struct order_identity {
    char id[ORDER_ID_SIZE];
    char body[ORDER_HASH_SIZE];
    char key[ORDER_HASH_SIZE]; /* of the Idempotency-Key; "": none */
    bool is_retry;             /* as the client says */
    bool is_known;             /* this order was found, and is not looked for */
};

struct submit_result {
    enum submit_outcome outcome;
    const struct event_log *log; /* for NEW and SAME, else NULL */
    int64_t images_left;         /* for NEW: of the client's day; -1: no limit */
    int64_t day_left_ms;         /* for NEW, IMAGES and BUDGET: until the limit is reset, or a retry may fit; else 0 */
    const struct spending *spending; /* for NEW and BUDGET, where a spending limit applies; else NULL */
    const char *order_id;            /* for FOUND, else NULL */
};
typedef void submit_fn(const struct submit_result *result, void *arg);

struct submitter_config {
    struct redis *redis; /* borrowed */
    int64_t queue_limit, queue_ttl_ms, retention_ms;
    int64_t order_window_ms; /* how long an order without an Idempotency-Key is found */
    int64_t upload_life_ms;  /* how long the uploads of a new task can be used; 0: there are no uploads */
    /* The object of an upload that a task uses ends too early. May be NULL. */
    void (*on_short_upload)(const char *client, const char *sha256, const char *name, void *arg);
    /* A new task was accepted after submit_cancel. */
    void (*on_abandoned)(const char *full_id, enum on_disconnect what, void *arg);
    void (*on_spending)(const struct spending *spending, void *arg); /* RESERVE has answered; may be NULL */
    void *arg;
};
struct submitter *submitter_create(const struct submitter_config *config); /* NULL when out of memory */
struct submitter *submitter_destroy(struct submitter *submitter);          /* accepts NULL; returns NULL */

/* On success `done` is called exactly once, unless submit_cancel is called first: then never. */
int submit_start(struct submitter *submitter, const struct submission *submission, submit_fn *done, void *arg,
                 struct submit_call **call) MUST_CHECK;
void submit_cancel(struct submit_call *call); /* accepts NULL; does not undo the SUBMIT */

/* The tasks of an order, all accepted or none. Tasks of it that have failed without a charge run again, and are NEW. All submissions have
 * the same client, limits, images, uploads, terms of money (but for the reservation), trace and request id. on_abandoned is not called: its tasks continue.
 * Accepted: one result per task, all with a log. Refused: one result without a log. FOUND: one result with the id of the order that the
 * request repeats; an order without a key is found once. */
enum { SUBMIT_ORDER_MAX = 10 };
typedef void submit_order_fn(const struct submit_result *results, void *arg);
int submit_order_start(struct submitter *submitter, const struct order_identity *order,
                       struct submission *const submissions[], size_t count, submit_order_fn *done, void *arg,
                       struct submit_call **call) MUST_CHECK;

#endif
