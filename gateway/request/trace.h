/* trace - the header traceparent (W3C Trace Context)
 *
 * Only valid values are stored with a task and logged: version 00 to fe, lower-case hex, ids that are not all zero.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_TRACE_H
#define ARKRELAY_GATEWAY_REQUEST_TRACE_H

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_LEN = 55, TRACE_SIZE = TRACE_LEN + 1 }; /* "00-<32 hex>-<16 hex>-<2 hex>" */

/* Copies the traceparent; "" if it is invalid. `text` may be NULL if len is 0. */
void trace_read(char out[TRACE_SIZE], const char *text, size_t len);

#endif
