#include "common/http/text.h"

#include "common/base/ascii.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool http_text_is(struct http_text text, const char *other)
{
    return text.data && strlen(other) == text.len && !memcmp(text.data, other, text.len);
}

bool http_same_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

struct http_text http_text_trim(struct http_text text)
{
    while (text.len && ascii_is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len && ascii_is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

bool http_is_made_of(const char *text, size_t len, const char *others)
{
    for (size_t i = 0; i < len; i++)
        if (!ascii_is_alphanumeric(text[i]) && (!text[i] || !strchr(others, text[i])))
            return false;
    return len > 0;
}

bool http_is_token(const char *text, size_t len)
{
    return http_is_made_of(text, len, "!#$%&'*+-.^_`|~");
}

bool http_text_decode(struct http_text text, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '%') {
            int high = i + 2 < text.len ? ascii_hex_value(text.data[i + 1]) : -1;
            int low = high >= 0 ? ascii_hex_value(text.data[i + 2]) : -1;

            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (!c || len + 1 >= size)
            return false;
        out[len++] = c;
    }
    if (len >= size)
        return false;
    out[len] = '\0';
    return true;
}
