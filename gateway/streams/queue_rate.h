/* pace - how fast the queue moves, from a counter that is looked at now and then
 *
 * The counter's steps and the time between them are both summed up and fade together, so that the last minute counts most and one
 * look with luck or without does not show. After a gap, or where the counter has gone back, what was known is forgotten.
 *
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_QUEUE_RATE_H
#define ARKRELAY_GATEWAY_STREAMS_QUEUE_RATE_H

#include <stdint.h>

struct queue_rate { /* zeroed but for gap_max_ms: nothing is known */
    int64_t gap_max_ms;
    int64_t at_ms, count; /* at the last look; at_ms is 0 before the first one */
    double steps, over_ms;
};

void queue_rate_sample(struct queue_rate *rate, int64_t now_ms, int64_t count);

/* The time until the counter has made so many steps more; -1 when nothing is known. */
int64_t queue_rate_time_ms(const struct queue_rate *rate, int64_t steps);

#endif
