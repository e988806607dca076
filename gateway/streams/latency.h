/* latency - how long announced events take through this loop
 *
 * What is written to streams in one turn of the loop is offered to the kernel at its end, in the order of writing. So a note behind
 * all of them tells when they have been: one look at the clock for each turn, however many streams there are. Events of the same
 * turn count from the first of them.
 *
 * Ownership: a member of what is freed after the loop, which may still run the note.
 * Threads:   the loop's thread only.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_LATENCY_H
#define ARKRELAY_GATEWAY_STREAMS_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"

struct metrics;

struct latency {
    struct loop *loop;
    struct metrics *metrics;
    struct loop_deferred deferred;
    bool waits; /* `deferred` is in the loop's list */
    int64_t began_us;
    int64_t frames;
};

/* An event that came at began_us (clock_monotonic_us) has been written to so many streams. */
void latency_note(struct latency *latency, int64_t began_us, int64_t frames);

#endif
