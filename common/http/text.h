/* http/text - pieces of a received message, and the character classes of HTTP
 *
 * Grammar: RFC 9110, section 5.6.2 (token); RFC 3986, section 2.1 (percent-encoding). Case folding is ASCII only and
 * ignores the locale.
 *
 * Ownership: a text points into borrowed bytes and is not NUL-terminated.
 * Pure.
 */
#ifndef ARKRELAY_HTTP_TEXT_H
#define ARKRELAY_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct http_text {
    const char *data; /* NULL: absent */
    size_t len;
};

bool http_text_is(struct http_text text, const char *other); /* compares case too */
struct http_text http_text_trim(struct http_text text);      /* without spaces and tabs at both ends */

/* Percent-decodes into `out` and ends it with a NUL; "+" is not decoded. False if the encoding is invalid, the result has a NUL
 * or it does not fit. */
bool http_text_decode(struct http_text text, char *out, size_t size);

bool http_same_nocase(const char *a, const char *b, size_t len);

/* Inline because the length of a literal is then a constant, and comparing lengths rejects most names. */
static inline bool http_text_is_nocase(struct http_text text, const char *other)
{
    return text.data && text.len == strlen(other) && http_same_nocase(text.data, other, text.len);
}

/* True for one or more bytes that are all ASCII letters, digits or in `others`. */
bool http_is_made_of(const char *text, size_t len, const char *others);
bool http_is_token(const char *text, size_t len);

#endif
