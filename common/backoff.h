/* backoff - how long to wait before the next try: exponential, full jitter, capped
 *
 * Pure. The n-th try (from 1) waits dice * min(max, base * 2^(n-1)) ms, at least 1.
 */
#ifndef ARKRELAY_BACKOFF_H
#define ARKRELAY_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ms, max_ms;
};

/* dice: 0 <= dice < 1, from random_unit(). */
int64_t backoff_delay_ms(const struct backoff *backoff, int attempt, double dice);

#endif
