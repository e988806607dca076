/* clock - the system's monotonic and wall clocks, in ms and µs
 *
 * Functions that decide something take the time as an argument, so that tests can choose it. Only their callers read these clocks.
 *
 * Threads: any.
 */
#ifndef ARKRELAY_BASE_CLOCK_H
#define ARKRELAY_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void); /* never jumps; for deadlines */
int64_t clock_monotonic_us(void); /* the same in µs; for measuring */
int64_t clock_wall_ms(void);      /* since 1970, UTC; only for logs, names and the dates of keys and certificates */

#endif
