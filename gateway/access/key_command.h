/* key_command - create, revoke and list API keys on the command line
 *
 * A new key is printed to stdout, alone on its line, so that scripts can capture it; messages go to stderr. The key is shown only
 * once: the keys file stores its hash.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_COMMAND_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* The values of the options; "" where one was not given. */
struct key_command {
    const char *keys_file;
    const char *new_key, *key_expires; /* --new-key NAME --key-expires 90d */
    const char *revoke_key;            /* --revoke-key ID */
    bool list_keys;
};

bool key_command_is_given(const struct key_command *command);

/* Returns the exit status. */
int key_command_run(const struct key_command *command);

/* "90d", "12h", "30m" -> ms. ERR_SYNTAX, or ERR_RANGE above ten years. */
int key_lifetime_parse(const char *text, int64_t *out) MUST_CHECK;

#endif
