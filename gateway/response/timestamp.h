/* timestamp - a time in the API's JSON: RFC 3339, UTC, with milliseconds */
#ifndef ARKRELAY_GATEWAY_RESPONSE_TIMESTAMP_H
#define ARKRELAY_GATEWAY_RESPONSE_TIMESTAMP_H

#include <stdint.h>

struct buf;

/* Appends ,"name":"2026-11-22T15:40:42.123Z" or, if ms is negative (no such time), nothing. */
void timestamp_add(struct buf *out, const char *name, int64_t ms);

#endif
