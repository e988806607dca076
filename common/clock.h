/* clock - milliseconds, and microseconds, for measuring and for writing down
 *
 * Anything that decides takes the time as an argument; these are where it comes from.
 */
#ifndef ARKRELAY_CLOCK_H
#define ARKRELAY_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void); /* never jumps; for deadlines */
int64_t clock_monotonic_us(void); /* the same in microseconds; for measuring */
int64_t clock_wall_ms(void);      /* since 1970, UTC; for logs, names and the dates of keys and certificates only */

#endif
