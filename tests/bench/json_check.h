/* json_check - is this text one JSON value? (RFC 8259; nesting up to 64) Nothing is built. */
#ifndef ARKRELAY_BENCH_JSON_CHECK_H
#define ARKRELAY_BENCH_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

bool json_check(const char *text, size_t len);

#endif
