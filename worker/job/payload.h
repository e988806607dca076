/* payload - the JSON that a job's BEGIN, EMIT and FINISH carry
 *
 * Each function initializes `out`. The caller checks buf_error and calls buf_deinit.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_JOB_PAYLOAD_H
#define ARKRELAY_WORKER_JOB_PAYLOAD_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/problem.h"
#include "common/task/task_event.h"

struct ark_result;

/* The `data` of a process event. full_id: "<client>.<task id>". Sets event.task_id. */
void payload_write_event(struct buf *out, const char *full_id, struct task_progress event);

/* Appends what scripts keep about the event's picture, on a line of its own, which does not get into the log. */
void payload_add_record(struct buf *out, const struct buf *record);

/* What FINISH adds to a `done` event: the members, without braces. Empty if ARK sent no usage. */
void payload_write_done(struct buf *out, const struct ark_result *ark);

struct payload_failure {
    enum problem problem;
    bool retryable;
    const char *words;            /* the error for people */
    const struct ark_result *ark; /* NULL if ARK was not called; else its error code and request id are included */
};

/* What FINISH needs for an `error` event. */
void payload_write_failure(struct buf *out, const struct payload_failure *failure);

#endif
