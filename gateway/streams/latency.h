/* latency - how long events take from Redis to the kernel's send buffers, for the metric arkrelay_sse_event_latency_seconds
 *
 * What is written to streams in one turn of the loop is handed to the kernel at the end of that turn, in the order of the writes. A
 * deferred call that is added after the writes runs after them. It reads the clock once per turn, however many streams there are.
 * All events of a turn count from the arrival of the first one.
 *
 * Ownership: a member of an object that outlives the loop, because the loop may still run the deferred call.
 * Threads:   the loop's thread only.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_LATENCY_H
#define ARKRELAY_GATEWAY_STREAMS_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"

struct metrics;

struct latency {
    struct loop *loop;
    struct metrics *metrics;
    struct loop_deferred deferred;
    bool is_deferred;
    int64_t began_us;
    int64_t frames;
};

/* An event that arrived at began_us (clock_monotonic_us) has been written to `frames` streams. */
void latency_note(struct latency *latency, int64_t began_us, int64_t frames);

#endif
