#include "gateway/streams/queue_rate.h"

enum { FADE_MS = 60 * 1000, TIME_MAX_MS = 7 * 24 * 3600 * 1000 };

/* Of less than this nothing can be said. */
static const double steps_min = 0.02;

void queue_rate_sample(struct queue_rate *rate, int64_t now_ms, int64_t count)
{
    int64_t over_ms = now_ms - rate->at_ms, steps = count - rate->count;
    double rest = (double)FADE_MS / (double)(FADE_MS + over_ms);

    if (!rate->at_ms || over_ms < 0 || over_ms > rate->gap_max_ms || steps < 0) {
        rate->steps = rate->over_ms = 0;
    } else {
        rate->steps = rate->steps * rest + (double)steps;
        rate->over_ms = rate->over_ms * rest + (double)over_ms;
    }
    rate->at_ms = now_ms;
    rate->count = count;
}

int64_t queue_rate_time_ms(const struct queue_rate *rate, int64_t steps)
{
    double time_ms;

    if (rate->steps < steps_min)
        return -1;
    time_ms = (double)steps * rate->over_ms / rate->steps;
    return time_ms < (double)TIME_MAX_MS ? (int64_t)time_ms : -1;
}
