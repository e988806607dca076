/* key_command - making, revoking and listing keys on the command line
 *
 * A new key goes to stdout, alone, so that a script can take it; everything meant for people goes to stderr. The key is shown this once: what the
 * keys file holds tells only that a key is the right one.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_COMMAND_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct gateway_options;

bool key_command_is_wanted(const struct gateway_options *options);

/* The exit status. */
int key_command(const struct gateway_options *options);

/* "90d", "12h", "30m" -> ms. ERR_SYNTAX, ERR_RANGE (up to ten years). */
int key_lifetime_parse(const char *text, int64_t *out) MUST_CHECK;

#endif
