/* queue_rate - how fast the queue moves, from samples of a counter of ended tasks
 *
 * Both the counter's increase and the elapsed time are summed up with the same exponential decay (60 s), so that the last minute
 * counts most and a single sample matters little. After a gap, or if the counter has decreased, the sums start again from zero.
 *
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_QUEUE_RATE_H
#define ARKRELAY_GATEWAY_STREAMS_QUEUE_RATE_H

#include <stdint.h>

struct queue_rate {           /* zeroed, except for gap_max_ms */
    int64_t gap_max_ms;       /* two samples further apart than this have nothing to do with each other */
    int64_t at_ms, count;     /* the last sample; at_ms is 0 before the first one */
    double ended, elapsed_ms; /* the decaying sums */
};

void queue_rate_sample(struct queue_rate *rate, int64_t now_ms, int64_t count);

/* The time in which `tasks` more tasks end, at the current rate; -1: not known. */
int64_t queue_rate_time_ms(const struct queue_rate *rate, int64_t tasks);

#endif
