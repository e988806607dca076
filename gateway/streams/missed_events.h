/* missed_events - find the watches that have missed a message, by comparing them with their logs in Redis
 *
 * Redis pub/sub may lose messages. A gap in the numbers reveals a loss, unless the lost message was the last one. So each watch is
 * compared with its log (script TAILS)
 *
 *     - after silence_ms without a message, and again after each further silence;
 *     - CHECK_SOON_MS after something that may have lost a message: a subscription was confirmed after Redis may have run the
 *       streams' SUBMIT, or a connection was lost. A message that arrives within that time usually makes the check unnecessary.
 *
 * All watches that are due in one turn of the loop are compared in one call, up to MISSED_EVENTS_BATCH per call. Redis returns only
 * the ids that differ: 100,000 idle streams cost it a few hundred calls per second. A call that fails is not repeated: the next
 * silence leads to the next comparison.
 *
 * A log that lost events in a failover may have grown back to the same length, with other events. So the digest of the last event
 * is compared as well.
 *
 * Ownership: belongs to the hub; borrows the cursors until missed_events_remove.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_MISSED_EVENTS_H
#define ARKRELAY_GATEWAY_STREAMS_MISSED_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/timeouts.h"

struct loop;
struct missed_events;
struct redis;

enum { MISSED_EVENTS_BATCH = 128, CHECK_SOON_MS = 50 };

/* How far the streams of a watch have come in the task's log; a member of the watch. */
struct log_cursor {
    int64_t epoch, last; /* number of the last event */
    uint64_t digest;     /* of that event (missed_events_digest); 0: unknown or not compared */
    struct timeout timer;
    bool check_soon; /* which of the two timeouts runs */
};

struct missed_events_config {
    struct redis *commands; /* borrowed */
    int64_t silence_ms;
    const char *(*id_of)(const struct log_cursor *cursor);
    void (*on_missed)(const char *full_id, void *arg); /* the log differs; the watch may be gone by now */
    void *arg;
};

struct missed_events *missed_events_create(struct loop *loop,
                                           const struct missed_events_config *config); /* NULL when out of memory */
struct missed_events *
missed_events_destroy(struct missed_events *missed_events); /* accepts NULL; all are removed; returns NULL */

/* The first 8 bytes of the event's SHA-1, as TAILS computes it. 0: this event is not compared, because it is large, and Redis would
 * copy it for every comparison. */
uint64_t missed_events_digest(const struct missed_events *missed_events, const char *json, size_t len);

/* A message has arrived: restarts the silence, and cancels a check that was due soon. Also adds a cursor. */
void missed_events_heard(struct missed_events *missed_events, struct log_cursor *cursor);

/* Compare CHECK_SOON_MS from now, unless a message arrives first. */
void missed_events_check_soon(struct missed_events *missed_events, struct log_cursor *cursor);

void missed_events_remove(struct missed_events *missed_events, struct log_cursor *cursor);

#endif
