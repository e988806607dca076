/* option_value - converts the text of an option to its value, as its row says
 *
 * Pure.
 */
#ifndef ARKRELAY_CONFIG_OPTION_VALUE_H
#define ARKRELAY_CONFIG_OPTION_VALUE_H

#include <stdbool.h>

#include "common/base/err.h"

struct buf;
struct option_row;

/* Writes the value to its place in `values` and frees a previous text there. On ERR_SYNTAX and ERR_RANGE, `why` receives the
 * reason: the end of a sentence that begins with "NAME=text ". */
int option_value_parse(const struct option_row *row, const char *text, void *values, struct buf *why) MUST_CHECK;
void option_value_free(const struct option_row *row, void *values); /* no-op if the value is not a text */

/* The allowed values: "1 to 256", "100ms to 10m", "text, json". */
void option_value_allowed(const struct option_row *row, struct buf *out);

/* The default in the syntax of a user; "" for none. */
const char *option_value_default(const struct option_row *row);

#endif
