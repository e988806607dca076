#include "common/base/backoff.h"

int64_t backoff_delay_ms(const struct backoff *backoff, int attempt, double dice)
{
    int64_t limit = backoff->base_ms;
    int64_t delay;

    for (int i = 1; i < attempt && limit < backoff->max_ms; i++)
        limit *= 2;
    if (limit > backoff->max_ms)
        limit = backoff->max_ms;
    delay = (int64_t)(dice * (double)limit);
    return delay > 1 ? delay : 1;
}
