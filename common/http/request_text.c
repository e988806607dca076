/* Reading a parsed request: its header values and query parameters. */
#include <string.h>

#include "common/http/request.h"

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

struct http_text http_request_header(const struct http_request *request, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];

        if (header->name.len == len && http_same_nocase(header->name.data, name, len))
            return header->value;
    }
    return (struct http_text){0};
}

int http_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_text_decode(struct http_text text, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '%') {
            int high = i + 2 < text.len ? http_hex_value(text.data[i + 1]) : -1;
            int low = high >= 0 ? http_hex_value(text.data[i + 2]) : -1;

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

bool http_request_query(const struct http_request *request, const char *name, char *out, size_t size)
{
    struct http_text rest = request->query;
    size_t name_len = strlen(name);

    while (rest.len) {
        const char *amp = memchr(rest.data, '&', rest.len);
        size_t len = amp ? (size_t)(amp - rest.data) : rest.len;
        size_t step = amp ? len + 1 : len;

        if (len > name_len && rest.data[name_len] == '=' && !memcmp(rest.data, name, name_len))
            return http_text_decode((struct http_text){rest.data + name_len + 1, len - name_len - 1}, out, size);
        rest = (struct http_text){rest.data + step, rest.len - step};
    }
    return false;
}
