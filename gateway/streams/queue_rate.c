#include "gateway/streams/queue_rate.h"

enum { FADE_MS = 60 * 1000, TIME_MAX_MS = 7 * 24 * 3600 * 1000 };

/* Of less than this nothing can be said. */
static const double steps_min = 0.02;

void pace_look(struct pace *pace, int64_t now_ms, int64_t count)
{
    int64_t over_ms = now_ms - pace->at_ms, steps = count - pace->count;
    double rest = (double)FADE_MS / (double)(FADE_MS + over_ms);

    if (!pace->at_ms || over_ms < 0 || over_ms > pace->gap_max_ms || steps < 0) {
        pace->steps = pace->over_ms = 0;
    } else {
        pace->steps = pace->steps * rest + (double)steps;
        pace->over_ms = pace->over_ms * rest + (double)over_ms;
    }
    pace->at_ms = now_ms;
    pace->count = count;
}

int64_t pace_time_ms(const struct pace *pace, int64_t steps)
{
    double time_ms;

    if (pace->steps < steps_min)
        return -1;
    time_ms = (double)steps * pace->over_ms / pace->steps;
    return time_ms < (double)TIME_MAX_MS ? (int64_t)time_ms : -1;
}
