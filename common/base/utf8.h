/* utf8 - validates and counts UTF-8 characters
 *
 * Strict as RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_UTF8_H
#define ARKRELAY_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

size_t utf8_long_char_len(const char *text, size_t len); /* utf8_char_len for a byte above ASCII */

/* The length of the character at `text`, 1 to 4 bytes; 0 if the bytes there (len is at least 1) are not a complete, valid one. */
static inline size_t utf8_char_len(const char *text, size_t len)
{
    return (unsigned char)*text < 0x80 ? 1 : utf8_long_char_len(text, len);
}

bool utf8_is_valid(const char *text, size_t len);

/* The number of code points; each invalid byte counts as one. */
size_t utf8_count(const char *text, size_t len);

#endif
