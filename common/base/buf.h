/* buf - a growable byte buffer with a maximum size
 *
 * Errors are sticky: after the first failed write, later writes do nothing. Check buf_error() once, after the last write.
 * The content is always followed by a NUL byte, which `len` does not count.
 *
 * Ownership: the caller owns the struct; buf_deinit frees the bytes. A zeroed struct with `max` set is ready for use.
 * Threads:   one at a time.   Units: bytes.
 * Errors:    ERR_TOO_LONG if the maximum would be exceeded, ERR_NO_MEMORY.
 */
#ifndef ARKRELAY_BASE_BUF_H
#define ARKRELAY_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct buf {
    char *data; /* NULL before the first write; see buf_text */
    size_t len, cap, max;
    int error;
};

void buf_init(struct buf *buf, size_t max);
void buf_deinit(struct buf *buf); /* the buffer may be used again afterwards */
void buf_clear(struct buf *buf);  /* removes the content and the error; keeps the memory */

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_add_int(struct buf *buf, int64_t value);
void buf_add_hex(struct buf *buf, uint64_t value); /* lower case, no leading zeros */
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds `text` as a JSON string, quotes included. The result is valid JSON on one line for any input:
 * - UTF-8 is copied; a byte that is not part of valid UTF-8 becomes U+FFFD;
 * - control bytes, the quote and the backslash are escaped;
 * - U+0085, U+2028 and U+2029 are escaped, because line readers such as Python's splitlines() split there. */
void buf_add_json(struct buf *buf, const char *text, size_t len);

/* A member of a JSON object: `,"name":`, and with the value. There is no comma after `{`. `name` needs no escaping. */
void buf_add_member(struct buf *buf, const char *name);
void buf_add_int_member(struct buf *buf, const char *name, int64_t value);
void buf_add_bool_member(struct buf *buf, const char *name, bool value);
void buf_add_text_member(struct buf *buf, const char *name, const char *text, size_t len);

/* Sets the buffer's error if it has none, for a caller whose own step failed between writes. No-op if `err` is 0. */
void buf_fail(struct buf *buf, int err);

void buf_drop_front(struct buf *buf, size_t len); /* removes the first len bytes; len is at most buf->len */

/* Removes all but the first len bytes (at most buf->len), and clears the error. */
void buf_truncate(struct buf *buf, size_t len);

int buf_error(const struct buf *buf) MUST_CHECK;
const char *buf_text(const struct buf *buf); /* "" when empty; valid until the next write */

/* Gives the bytes to the caller, who frees them with free(); the buffer is then empty. NULL after an error. */
char *buf_take(struct buf *buf);

#endif
