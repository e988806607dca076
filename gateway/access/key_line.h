/* key_line - one line of the keys file, read and written
 *
 * Part of key_file; nothing else includes it but its tests. Pure.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_LINE_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_LINE_H

#include "gateway/access/key_file.h"

/* ERR_NOT_FOUND: the line says nothing. ERR_SYNTAX: `why` got what is wrong. */
int key_line_parse(const char *line, size_t len, struct key_line *out, struct buf *why) MUST_CHECK;

void key_line_write(struct buf *out, const struct key_line *key); /* with its line feed */

#endif
