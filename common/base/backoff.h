/* backoff - delay before the next attempt: exponential, full jitter, capped
 *
 * Attempt n (counted from 1) waits dice * min(max, base * 2^(n-1)), and at least 1 ms.
 *
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_BASE_BACKOFF_H
#define ARKRELAY_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ms, max_ms;
};

/* dice: 0 <= dice < 1, from random_unit(). */
int64_t backoff_delay_ms(const struct backoff *backoff, int attempt, double dice);

#endif
