/* trace - the W3C traceparent of a request
 *
 * Pure. Only what is valid is stored with a task and logged: version 00 to fe, lower-case hex, no all-zero ids.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_TRACE_H
#define ARKRELAY_GATEWAY_REQUEST_TRACE_H

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_LEN = 55, TRACE_SIZE = TRACE_LEN + 1 }; /* "00-<32 hex>-<16 hex>-<2 hex>" */

/* Copies the traceparent into out; "" when `text` (which may be NULL when len is 0) is none. */
void trace_read(char out[TRACE_SIZE], const char *text, size_t len);

#endif
