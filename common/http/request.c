#include "common/http/request.h"

static const char *const method_names[HTTP_METHOD_COUNT] = {
    [HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
    [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
};

const char *http_method_name(enum http_method method)
{
    return method_names[method];
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

bool http_request_has_query(const struct http_request *request, const char *name)
{
    const struct http_text query = request->query;
    size_t len = strlen(name);

    for (size_t at = 0; at + len <= query.len; at++) {
        bool begins = !at || query.data[at - 1] == '&';
        bool ends = at + len == query.len || query.data[at + len] == '=' || query.data[at + len] == '&';

        if (begins && ends && memcmp(query.data + at, name, len) == 0)
            return true;
    }
    return false;
}

/* The value if `line`, which has no CRLF, is a header with this name. */
static struct http_text line_value(struct http_text line, const char *name)
{
    size_t len = strlen(name);

    if (line.len <= len || line.data[len] != ':' || !http_same_nocase(line.data, name, len))
        return (struct http_text){0};
    return http_text_trim((struct http_text){line.data + len + 1, line.len - len - 1});
}

struct http_text http_head_header(struct http_text head, const char *name)
{
    bool is_request_line = true;
    const char *end;

    while (head.len && (end = memmem(head.data, head.len, "\r\n", 2))) {
        struct http_text line = {head.data, (size_t)(end - head.data)}, value = {0};

        if (!is_request_line)
            value = line_value(line, name);
        if (value.data || (!is_request_line && !line.len))
            return value;
        is_request_line = is_request_line && !line.len; /* the parser ignores an empty line at the start */
        head.data += line.len + 2;
        head.len -= line.len + 2;
    }
    return (struct http_text){0};
}
