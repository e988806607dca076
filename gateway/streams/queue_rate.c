#include "gateway/streams/queue_rate.h"

enum { DECAY_MS = 60 * 1000, TIME_MAX_MS = 7 * 24 * 3600 * 1000 };

/* Below this sum the rate is too uncertain to report. */
static const double ended_min = 0.02;

void queue_rate_sample(struct queue_rate *rate, int64_t now_ms, int64_t count)
{
    int64_t elapsed_ms = now_ms - rate->at_ms, ended = count - rate->count;
    double decay = (double)DECAY_MS / (double)(DECAY_MS + elapsed_ms);

    if (!rate->at_ms || elapsed_ms < 0 || elapsed_ms > rate->gap_max_ms || ended < 0) {
        rate->ended = rate->elapsed_ms = 0;
    } else {
        rate->ended = rate->ended * decay + (double)ended;
        rate->elapsed_ms = rate->elapsed_ms * decay + (double)elapsed_ms;
    }
    rate->at_ms = now_ms;
    rate->count = count;
}

int64_t queue_rate_time_ms(const struct queue_rate *rate, int64_t tasks)
{
    double time_ms;

    if (rate->ended < ended_min)
        return -1;
    time_ms = (double)tasks * rate->elapsed_ms / rate->ended;
    return time_ms < (double)TIME_MAX_MS ? (int64_t)time_ms : -1;
}
