/* env_file - parses .env files
 *
 *     # a comment
 *     NAME=plain value        # trailing spaces and a comment after a space are not part of the value
 *     export NAME='literal, no escapes'
 *     NAME="with \n, \" and \\"
 *
 * One assignment per line; LF or CRLF; a leading BOM is skipped. Variables are not expanded.
 *
 * Pure.
 */
#ifndef ARKRELAY_CONFIG_ENV_FILE_H
#define ARKRELAY_CONFIG_ENV_FILE_H

#include <stddef.h>

#include "common/base/err.h"

/* Called for each assignment, in order; both texts are valid during the call. A result other than 0 stops the parser. */
typedef int env_file_fn(const char *name, const char *value, void *arg);

/* Modifies `text`, in which text[len] is a NUL byte. Returns 0, the result of fn, or ERR_SYNTAX if line *line is not an assignment,
 * a comment or blank. *line is always set, from 1. */
int env_file_parse(char *text, size_t len, env_file_fn *fn, void *arg, size_t *line) MUST_CHECK;

#endif
