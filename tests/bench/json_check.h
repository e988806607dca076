/* json_check - checks that a text is one JSON value (RFC 8259), nested up to 64 levels. It allocates nothing. */
#ifndef ARKRELAY_BENCH_JSON_CHECK_H
#define ARKRELAY_BENCH_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

bool json_check(const char *text, size_t len);

#endif
