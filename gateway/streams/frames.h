/* frames - what a stream says beside single events, as bytes
 *
 * Pure; chance comes in as an argument.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_FRAMES_H
#define ARKRELAY_GATEWAY_STREAMS_FRAMES_H

#include <stdint.h>

#include "common/task_event.h"

struct account_wait;
struct buf;
struct event_log;

/* `retry:` for every stream, and for those that are handed over; jittered so that clients do not return as one. */
void frames_add_retry(struct buf *out, double dice);          /* 2000 to 4000 ms */
void frames_add_handover_retry(struct buf *out, double dice); /* 500 to 1500 ms */

/* `reset` is about the connection, not about the task: it has no id, so that the client's place stays what it is. */
enum frames_reset { RESET_REPLAY /* the whole log follows */, RESET_NO_TASK /* nothing follows: the task is gone */ };
void frames_add_reset(struct buf *out, const char *full_id, enum frames_reset reset);

/* What a waiting task waits for, as a `process` event that is not part of the log: it has no id. */
struct frames_hint {
    int64_t position;                /* from 1; below: it waits outside of the queue, for a retry */
    int64_t eta_ms;                  /* below 0: not known; not said while anything holds the task */
    const struct account_wait *wait; /* the breakers and pauses that hold it */
};
void frames_add_position(struct buf *out, const char *full_id, const struct frames_hint *hint);

/* All events of the history; added[type] grows by how many there are. An element that cannot be read is logged and left out. */
void frames_add_log(struct buf *out, const char *full_id, const struct event_log *log,
                    unsigned added[EVENT_TYPE_COUNT]);

#endif
