/* redact - removes secrets and bulk data from a text before it is logged
 *
 * ARK's messages quote parts of the request: signed URLs, images in base64, the API key itself.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_REDACT_H
#define ARKRELAY_WORKER_ARK_REDACT_H

#include <stddef.h>

/* Copies `text` to `out`, truncated to `size` (at least 1). In an http(s) URL, the query becomes "?..." and the user and password are
 * removed. A word of more than 80 bytes, such as base64, is cut to its first 24. Returns out. */
const char *redact(char *out, size_t size, const char *text);

/* Replaces each `secret` in `text` by asterisks. No-op if `secret` is NULL or empty. */
void redact_secret(char *text, const char *secret);

#endif
