/* json_text - from JSON text to jansson's trees and back, safe where memory ends
 *
 * jansson passes over some of its allocations that fail: a text then lacks a byte, a parser runs past the end of one, and want of memory
 * looks like bad grammar. So the first allocation that fails while a text is read or written lets all that follow fail too, which
 * jansson bears, and the result is thrown away.
 *
 * Beyond that promise: jansson asserts, and so ends the process, where memory ends inside of a number of more than 15 bytes.
 *
 * Threads: any; the first use goes before the second thread's.
 */
#ifndef ARKRELAY_JSON_TEXT_H
#define ARKRELAY_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "common/err.h"

/* As json_loadb; `error`, which may be NULL, is set after ERR_SYNTAX. The other failure is ERR_NO_MEMORY. */
int json_text_read(const char *text, size_t len, size_t flags, json_t **out, json_error_t *error) MUST_CHECK;

/* As json_dumps; the text is the caller's to free(). ERR_NO_MEMORY. */
int json_text_write(const json_t *root, size_t flags, char **out) MUST_CHECK;

#endif
