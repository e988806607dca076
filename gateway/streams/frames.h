/* frames - the SSE frames that are not single events of the log, as bytes
 *
 * Pure. Random numbers are arguments.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_FRAMES_H
#define ARKRELAY_GATEWAY_STREAMS_FRAMES_H

#include <stdint.h>

#include "common/task/task_event.h"

struct account_wait;
struct buf;
struct event_log;

/* `retry:` of a new stream, and of one that ends so that its client reconnects elsewhere. Jittered: clients do not return at once. */
void frames_add_retry(struct buf *out, double dice);          /* 2000 to 4000 ms */
void frames_add_handover_retry(struct buf *out, double dice); /* 500 to 1500 ms */

/* `event: reset` has no id, so that the client's Last-Event-ID stays what it is. */
enum frames_reset { RESET_REPLAY /* the whole log follows */, RESET_NO_TASK /* nothing follows: the task is gone */ };
void frames_add_reset(struct buf *out, const char *full_id, enum frames_reset reset);

/* What a waiting task waits for: a `process` event with stage "queued". It is not part of the log and has no id. */
struct frames_waiting {
    int64_t position;                /* from 1; below 1: it waits for a retry, outside of the queue */
    int64_t eta_ms;                  /* negative: not known; not sent while anything holds the task up */
    const struct account_wait *wait; /* the circuit breakers and pauses that hold it up */
};
void frames_add_waiting(struct buf *out, const char *full_id, const struct frames_waiting *waiting);

/* All events of the log. added[type] is increased by their number. An invalid element is logged and left out. */
void frames_add_log(struct buf *out, const char *full_id, const struct event_log *log,
                    unsigned added[EVENT_TYPE_COUNT]);

#endif
