/* timeval - milliseconds as libevent's timers take them
 */
#ifndef ARKRELAY_BASE_TIMEVAL_H
#define ARKRELAY_BASE_TIMEVAL_H

#include <stdint.h>
#include <sys/time.h>

static inline struct timeval timeval_of_ms(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

#endif
