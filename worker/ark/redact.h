/* redact - takes out of a text from outside what must not stand in a log
 *
 * ARK's messages quote: addresses with their signatures, pictures in base64, the key itself.
 *
 * Pure.   Ownership: writes only into the caller's room.
 */
#ifndef ARKRELAY_WORKER_ARK_REDACT_H
#define ARKRELAY_WORKER_ARK_REDACT_H

#include <stddef.h>

/* Copies `text`, cut at the room (at least 1 byte): the query of an http(s) address becomes "?...", what stands between its
 * scheme and an "@" goes, and of a word longer than any honest one only the beginning stays. Returns out. */
const char *redact(char *out, size_t size, const char *text);

/* Overwrites with asterisks wherever `secret` stands in `text`. An empty or NULL secret stands nowhere. */
void redact_secret(char *text, const char *secret);

#endif
