/* json_text - parses and writes JSON with jansson, safely when memory runs out
 *
 * jansson ignores some failed allocations: the text it writes then lacks a byte, or its parser reads past the end of a buffer, or
 * it reports a syntax error. Therefore, once one allocation fails during a call, every later allocation of that call fails too.
 * jansson handles that correctly, and the result is discarded.
 *
 * Known limit: jansson asserts, and so aborts the process, if memory runs out inside a number longer than 15 bytes.
 *
 * Threads: any, but call it once before starting a second thread.
 */
#ifndef ARKRELAY_BASE_JSON_TEXT_H
#define ARKRELAY_BASE_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "common/base/err.h"

/* Like json_loadb. ERR_NO_MEMORY, or ERR_SYNTAX, which sets `error`. `error` may be NULL. */
int json_text_read(const char *text, size_t len, size_t flags, json_t **out, json_error_t *error) MUST_CHECK;

/* Like json_dumps; the caller frees the text with free(). ERR_NO_MEMORY. */
int json_text_write(const json_t *root, size_t flags, char **out) MUST_CHECK;

#endif
