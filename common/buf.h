/* buf - a growable byte buffer that is born with a maximum
 *
 * Writers need not check each step: the first failure sticks, later writes do nothing, and buf_error() tells at
 * the end. The content is always followed by a NUL byte that len does not count.
 *
 * Ownership: the struct is its owner's; buf_deinit frees the bytes. A zeroed struct with `max` set is ready for use.
 * Errors:    ERR_TOO_LONG past the maximum, ERR_NO_MEMORY.
 */
#ifndef ARKRELAY_BUF_H
#define ARKRELAY_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct buf {
    char *data; /* NULL while nothing was added; see buf_text */
    size_t len, cap, max;
    int error;
};

void buf_init(struct buf *buf, size_t max);
void buf_deinit(struct buf *buf); /* may be used again afterwards */
void buf_clear(struct buf *buf);  /* empties it and forgets the error; keeps the memory */

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_add_int(struct buf *buf, int64_t value);
void buf_add_hex(struct buf *buf, uint64_t value); /* lower case, no leading zeros */
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds `text` as a JSON string with its quotes. UTF-8 passes as it is, a byte that is none becomes U+FFFD; control bytes, the
 * quote and the backslash are escaped, and so are U+0085, U+2028 and U+2029, at which readers of lines such as Python's splitlines() cut.
 * So the result is valid JSON on one line whatever the input. */
void buf_add_json(struct buf *buf, const char *text, size_t len);

/* Whoever needs other parts than these can tell of their failure here: it counts as the buffer's own. 0 changes nothing. */
void buf_fail(struct buf *buf, int err);

void buf_drop_front(struct buf *buf, size_t len); /* forgets the first len bytes; len is at most buf->len */

/* Back to the first len bytes (at most buf->len), and to before the error that came behind them. */
void buf_cut(struct buf *buf, size_t len);

int buf_error(const struct buf *buf) MUST_CHECK;
const char *buf_text(const struct buf *buf); /* "" when empty; valid until the next write */

/* Hands the bytes over to the caller, who frees them with free(); the buffer is empty then. NULL after an error. */
char *buf_take(struct buf *buf);

#endif
