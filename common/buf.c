#include "common/buf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

enum { FIRST_CAPACITY = 64 };

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_deinit(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->max);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->error = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Makes room for len more bytes and the NUL; the capacity doubles so that many small writes stay cheap. */
static int reserve(struct buf *buf, size_t len)
{
    size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
    char *data;

    if (buf->error)
        return buf->error;
    if (len > buf->max - buf->len)
        return buf->error = ERR_TOO_LONG;
    while (cap < buf->len + len + 1)
        cap *= 2;
    if (cap == buf->cap)
        return 0;
    data = realloc(buf->data, cap);
    if (!data)
        return buf->error = ERR_NO_MEMORY;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (reserve(buf, len))
        return;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0'; /* NOLINT(clang-analyzer-core.NullDereference): what has a capacity has data */
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_add_int(struct buf *buf, int64_t value)
{
    buf_addf(buf, "%" PRId64, value);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    if (len >= 0 && !reserve(buf, (size_t)len)) {
        (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

static void add_escaped(struct buf *buf, unsigned char c)
{
    static const char short_form[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};

    if (c < sizeof(short_form) && short_form[c]) {
        buf_add_char(buf, '\\');
        buf_add_char(buf, short_form[c]);
    } else {
        buf_addf(buf, "\\u%04x", c);
    }
}

void buf_add_json(struct buf *buf, const char *text, size_t len)
{
    size_t from = 0, at = 0;

    buf_add_char(buf, '"');
    while (at < len) {
        unsigned char c = (unsigned char)text[at];
        size_t step = utf8_char_len(text + at, len - at);

        if (step && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            at += step;
            continue;
        }
        buf_add(buf, text + from, at - from);
        if (step)
            add_escaped(buf, c);
        else
            buf_add_text(buf, REPLACEMENT);
        from = ++at;
    }
    buf_add(buf, text + from, len - from);
    buf_add_char(buf, '"');
}

void buf_fail(struct buf *buf, int err)
{
    if (!buf->error)
        buf->error = err;
}

void buf_drop_front(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    if (!len)
        return;
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

int buf_error(const struct buf *buf)
{
    return buf->error;
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf)
{
    char *data;

    if (!buf->data)
        buf_add(buf, "", 0);
    data = buf->error ? NULL : buf->data;
    if (data)
        buf_init(buf, buf->max);
    return data;
}
