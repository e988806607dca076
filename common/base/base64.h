/* base64 - encodes bytes as they arrive (RFC 4648, section 4)
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_BASE64_H
#define ARKRELAY_BASE_BASE64_H

#include <stddef.h>

enum { BASE64_GROUP = 3, BASE64_GROUP_TEXT = 4 };

/* Room for the text of `len` bytes that follow others, with a NUL. */
#define BASE64_ROOM(len) (((size_t)(len) + 2 * BASE64_GROUP - 1) / BASE64_GROUP * BASE64_GROUP_TEXT + 1)

/* Zeroed at the begin. */
struct base64 {
    unsigned char carry[BASE64_GROUP]; /* bytes that are no whole group yet */
    size_t carried;
};

/* Both write text and a NUL, and return the length of the text. */
size_t base64_add(struct base64 *base64, char *out, const char *bytes, size_t len);
size_t base64_end(struct base64 *base64, char *out);

#endif
