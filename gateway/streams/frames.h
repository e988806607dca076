/* frames - what a stream says beside single events, as bytes
 *
 * Pure; chance comes in as an argument.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_FRAMES_H
#define ARKRELAY_GATEWAY_STREAMS_FRAMES_H

#include <stdint.h>

#include "common/task_event.h"

struct buf;
struct event_log;

/* `retry:` for every stream, and for those that are handed over; jittered so that clients do not return as one. */
void frames_add_retry(struct buf *out, double dice);          /* 2000 to 4000 ms */
void frames_add_handover_retry(struct buf *out, double dice); /* 500 to 1500 ms */

/* `reset` is about the connection, not about the task: it has no id, so that the client's place stays what it is. */
enum frames_reset { RESET_REPLAY /* the whole log follows */, RESET_NO_TASK /* nothing follows: the task is gone */ };
void frames_add_reset(struct buf *out, const char *full_id, enum frames_reset reset);

/* A waiting task's place in the queue, as a `process` event that is not part of the log: it has no id. eta_ms below 0: not known. */
void frames_add_position(struct buf *out, const char *full_id, int64_t position, int64_t eta_ms);

/* All events of the history; added[type] grows by how many there are. An element that cannot be read is logged and left out. */
void frames_add_log(struct buf *out, const char *full_id, const struct event_log *log,
                    unsigned added[EVENT_TYPE_COUNT]);

#endif
