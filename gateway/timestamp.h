/* timestamp - a moment as the API writes it: RFC 3339, UTC, with milliseconds */
#ifndef ARKRELAY_GATEWAY_TIMESTAMP_H
#define ARKRELAY_GATEWAY_TIMESTAMP_H

#include <stdint.h>

struct buf;

/* ,"name":"2026-11-22T15:40:42.123Z"; nothing for a moment below 0, which is none. */
void timestamp_add(struct buf *out, const char *name, int64_t ms);

#endif
