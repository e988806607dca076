/* submit - a validated request becomes a task in Redis, in one atomic step
 *
 * Once a submission is on its way it may take effect, whether somebody still waits for the outcome or not: it is followed to its
 * end, and an accepted task is logged in either case. A new one that nobody waits for any more is settled as a client's leaving is.
 *
 * Ownership: a submitter keeps what it needs of a submission's texts until the answer came; the submission stays its owner's.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_SUBMIT_H
#define ARKRELAY_GATEWAY_TASKS_SUBMIT_H

#include <stdint.h>

#include "common/err.h"
#include "common/problem.h"
#include "common/task.h"
#include "common/task_spec.h"
#include "gateway/request/trace.h"
#include "gateway/streams/disconnects.h"

struct event_log;
struct redis;
struct submitter;
struct submit_call;

enum { REQUEST_ID_SIZE = 65 }; /* what the server lets through */

struct submission {
    char full_id[TASK_FULL_ID_SIZE];
    char hash[TASK_HASH_SIZE];
    char trace[TRACE_SIZE]; /* "": none */
    char request_id[REQUEST_ID_SIZE];
    int max_paid_calls;
    enum on_disconnect on_disconnect; /* of the connection that brings it; not stored */
    int64_t client_queued_max;        /* tasks of the client that may wait or run */
    int64_t images;                   /* how many it may get */
    int64_t client_images_max;        /* of the client, in one UTC day; 0: no limit */
    char *request;                    /* canonical JSON */
};

struct submission *submission_destroy(struct submission *submission); /* accepts NULL; returns NULL */

struct submit_limits {
    int64_t queue_limit, queue_ttl_ms, retention_ms;
};

enum submit_outcome {
    SUBMIT_NEW,
    SUBMIT_SAME, /* known already, with the same request */
    SUBMIT_CONFLICT,
    SUBMIT_FULL,
    SUBMIT_CLIENT_FULL, /* this client has as many live tasks as it may */
    SUBMIT_IMAGES,      /* its tasks of today have as many images as they may */
    SUBMIT_PAUSED,
    SUBMIT_FAILED, /* Redis did not answer, or not as it should; the task may exist */
};

enum problem submit_problem(enum submit_outcome outcome); /* of one that is neither NEW nor SAME */

struct submit_result {
    enum submit_outcome outcome;
    const struct event_log *log; /* of NEW and SAME; NULL otherwise */
    int64_t images_left;         /* of the client's day, behind NEW; -1: nothing limits them */
    int64_t day_left_ms;         /* of NEW and IMAGES: until there are more; 0 otherwise */
};
typedef void submit_fn(const struct submit_result *answer, void *arg);

/* Borrows both. NULL: out of memory. */
struct submitter *submitter_create(struct redis *redis, struct disconnects *disconnects,
                                   const struct submit_limits *limits);
struct submitter *submitter_destroy(struct submitter *submitter); /* accepts NULL; returns NULL */

/* On success `done` follows exactly once, unless it is cancelled: then never. */
int submit_start(struct submitter *submitter, const struct submission *submission, submit_fn *done, void *arg,
                 struct submit_call **call) MUST_CHECK;
void submit_cancel(struct submit_call *call); /* accepts NULL */

#endif
