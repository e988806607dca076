/* utf8 - what is UTF-8, and how many characters it makes
 *
 * Pure. Strict as RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef ARKRELAY_UTF8_H
#define ARKRELAY_UTF8_H

#include <stddef.h>

size_t utf8_long_char_len(const char *text, size_t len); /* of what is not ASCII */

/* The bytes of the character at `text`, 1 to 4; 0 where the next bytes (len is at least 1) are not a whole character. */
static inline size_t utf8_char_len(const char *text, size_t len)
{
    return (unsigned char)*text < 0x80 ? 1 : utf8_long_char_len(text, len);
}

/* Code points; each byte that belongs to none counts as one. */
size_t utf8_count(const char *text, size_t len);

#endif
