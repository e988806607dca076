/* retry_after - how long the header Retry-After asks to wait (RFC 9110 section 10.2.3)
 *
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_WEB_RETRY_AFTER_H
#define ARKRELAY_WEB_RETRY_AFTER_H

#include <stdint.h>

struct retry_after_bounds {
    int64_t min_ms, max_ms;
};

/* Several values, one per line, or numbers separated by commas: the longest wait counts. A value that cannot be read, or a time in the
 * past, still asks for the minimum. Values are cut to 159 bytes. */
int64_t retry_after_read(const char *values, int64_t now_ms, struct retry_after_bounds bounds);

#endif
