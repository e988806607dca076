/* env_file - the grammar of `.env`
 *
 *     # a comment
 *     NAME=plain value        # trailing spaces do not belong to it, nor does a comment behind a space
 *     export NAME='as it stands'
 *     NAME="with \n, \" and \\"
 *
 * One assignment per line; LF or CRLF; a leading BOM is passed over. Nothing is expanded.
 *
 * Pure.
 */
#ifndef ARKRELAY_ENV_FILE_H
#define ARKRELAY_ENV_FILE_H

#include <stddef.h>

#include "common/err.h"

/* For each assignment, in order; both texts are valid during the call only. Anything but 0 ends the reading. */
typedef int env_file_fn(const char *name, const char *value, void *arg);

/* `text` is changed on the way and holds a NUL byte at text[len]. ERR_SYNTAX: line *line is none of the above.
 * Otherwise 0, or what fn returned. `*line` is always set, from 1. */
int env_file_parse(char *text, size_t len, env_file_fn *fn, void *arg, size_t *line) MUST_CHECK;

#endif
