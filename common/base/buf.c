#include "common/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/utf8.h"

enum { FIRST_CAPACITY = 256, HEX_DIGITS_MAX = 16 };

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

void buf_truncate(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len = len;
    buf->error = 0;
    if (buf->data)
        buf->data[len] = '\0';
}

static int grow(struct buf *buf, size_t len)
{
    size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
    char *data;

    while (cap < buf->len + len + 1)
        cap *= 2;
    data = realloc(buf->data, cap);
    if (!data)
        return buf->error = ERR_NO_MEMORY;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

/* Ensures room for len more bytes and the NUL. */
static int reserve(struct buf *buf, size_t len)
{
    if (buf->error)
        return buf->error;
    if (len > buf->max - buf->len)
        return buf->error = ERR_TOO_LONG;
    return buf->len + len < buf->cap ? 0 : grow(buf, len);
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (reserve(buf, len))
        return;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0'; /* NOLINT(clang-analyzer-core.NullDereference): reserve() allocated it */
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    if (reserve(buf, 1))
        return;
    buf->data[buf->len++] = c; /* NOLINT(clang-analyzer-core.NullDereference): as in buf_add */
    buf->data[buf->len] = '\0';
}

void buf_add_int(struct buf *buf, int64_t value)
{
    char text[DECIMAL_SIZE];

    buf_add(buf, text, decimal_write(text, value));
}

void buf_add_hex(struct buf *buf, uint64_t value)
{
    char digits[HEX_DIGITS_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value & 0xf];
        value >>= 4;
    } while (value);
    buf_add(buf, digits + at, sizeof(digits) - at);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    size_t room = buf->error ? 0 : buf->cap - buf->len;
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(room ? buf->data + buf->len : NULL, room, format, args);
    if (len >= 0 && !reserve(buf, (size_t)len)) {
        if ((size_t)len >= room)
            (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    } else if (room) {
        buf->data[buf->len] = '\0'; /* vsnprintf has overwritten the NUL */
    }
    va_end(again);
    va_end(args);
}

static void add_json_escape(struct buf *buf, unsigned char c)
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

enum { WORD = sizeof(uint64_t) };

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* The byte tests below work on 8 bytes at once. The highest bit of a result byte is set where the test is true. A borrow can also
 * set it in bytes above the first true one, so a result is exact only as "any" or "none".
 * Source: Bit Twiddling Hacks, "Determine if a word has a byte less than n". */
static uint64_t bytes_below(uint64_t word, uint8_t c)
{
    return (word - EACH_BYTE(c)) & ~word;
}

static uint64_t bytes_equal(uint64_t word, uint8_t c)
{
    return bytes_below(word ^ EACH_BYTE(c), 1);
}

/* True if all 8 bytes are ASCII and need no escape in a JSON string. */
static bool is_plain_word(const char *text)
{
    uint64_t word;

    memcpy(&word, text, WORD);
    return !(
        (word | bytes_below(word, 0x20) | bytes_equal(word, '"') | bytes_equal(word, '\\') | bytes_equal(word, 0x7f)) &
        EACH_BYTE(0x80));
}

/* The escape of a character above ASCII that ends a line in Unicode; NULL for any other character. */
static const char *line_end_escape(const char *text, size_t len)
{
    if (len == 2 && !memcmp(text, "\xc2\x85", 2))
        return "\\u0085";
    if (len != 3 || memcmp(text, "\xe2\x80", 2) != 0)
        return NULL;
    return text[2] == '\xa8' ? "\\u2028" : text[2] == '\xa9' ? "\\u2029" : NULL;
}

/* The number of leading bytes that need no escape in a JSON string. */
static size_t plain_length(const char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        unsigned char c = (unsigned char)text[at];
        bool in_words = len - at >= WORD && is_plain_word(text + at);
        size_t step = in_words ? WORD : utf8_char_len(text + at, len - at);

        if (!step || c < 0x20 || c == '"' || c == '\\' || c == 0x7f || line_end_escape(text + at, in_words ? 1 : step))
            break;
        at += step;
    }
    return at;
}

/* Adds the one character, or invalid byte, at which plain_length stopped. Returns its length in `text`. */
static size_t add_escaped_char(struct buf *buf, const char *text, size_t len)
{
    size_t step = utf8_char_len(text, len);

    if (step == 1)
        add_json_escape(buf, (unsigned char)*text);
    else
        buf_add_text(buf, step ? line_end_escape(text, step) : REPLACEMENT);
    return step ? step : 1;
}

void buf_add_json(struct buf *buf, const char *text, size_t len)
{
    size_t at = 0;

    buf_add_char(buf, '"');
    while (at < len) {
        size_t plain = plain_length(text + at, len - at);

        buf_add(buf, text + at, plain);
        at += plain;
        if (at < len)
            at += add_escaped_char(buf, text + at, len - at);
    }
    buf_add_char(buf, '"');
}

void buf_add_member(struct buf *buf, const char *name)
{
    if (!buf->len || buf->data[buf->len - 1] != '{')
        buf_add_char(buf, ',');
    buf_add_char(buf, '"');
    buf_add_text(buf, name);
    buf_add_text(buf, "\":");
}

void buf_add_int_member(struct buf *buf, const char *name, int64_t value)
{
    buf_add_member(buf, name);
    buf_add_int(buf, value);
}

void buf_add_bool_member(struct buf *buf, const char *name, bool value)
{
    buf_add_member(buf, name);
    buf_add_text(buf, value ? "true" : "false");
}

void buf_add_text_member(struct buf *buf, const char *name, const char *text, size_t len)
{
    buf_add_member(buf, name);
    buf_add_json(buf, text, len);
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
