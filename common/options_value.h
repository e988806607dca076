/* options_value - from the text of an option to its value, by its row
 *
 * Part of options.c; nothing else includes it but its tests. Pure.
 */
#ifndef ARKRELAY_OPTIONS_VALUE_H
#define ARKRELAY_OPTIONS_VALUE_H

#include <stdbool.h>

#include "common/err.h"

struct buf;
struct option_row;

/* Writes the value into its place in `values`; a text that is there already is freed. ERR_SYNTAX, ERR_RANGE: `why` got
 * what is wrong, as the end of a sentence that begins with "NAME=text ". */
int option_value_parse(const struct option_row *row, const char *text, void *values, struct buf *why) MUST_CHECK;

/* What the row allows: "1 to 256", "100ms to 10m", "text, json". */
void option_value_allowed(const struct option_row *row, struct buf *out);

bool option_is_text(const struct option_row *row); /* the value is a char * that somebody must free */

#endif
