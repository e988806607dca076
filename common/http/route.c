#include "common/http/route.h"

#include <string.h>

/* On success *segment is the part of `path` that the pattern's {id} or {path} matched. */
static bool path_matches(const char *pattern, struct http_text path, struct http_text *segment)
{
    const char *brace = strchrnul(pattern, '{'), *slash;
    size_t before = (size_t)(brace - pattern);
    struct http_text rest;

    if (path.len < before || memcmp(path.data, pattern, before) != 0)
        return false;
    rest = (struct http_text){path.data + before, path.len - before};
    if (!*brace || !rest.len)
        return !*brace && !rest.len;
    slash = strcmp(brace, "{path}") != 0 ? memchr(rest.data, '/', rest.len) : NULL;
    *segment = (struct http_text){rest.data, slash ? (size_t)(slash - rest.data) : rest.len};
    rest = (struct http_text){rest.data + segment->len, rest.len - segment->len};
    return segment->len && http_text_is(rest, strchr(brace, '}') + 1);
}

struct http_route_match http_route_find(struct http_route_table table, enum http_method method, struct http_text path)
{
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
    struct http_route_match match = {0};

    for (size_t i = 0; i < table.count; i++) {
        const struct http_route *route = &table.routes[i];
        struct http_text segment = {0};

        if (!path_matches(route->path, path, &segment))
            continue;
        match.allowed |= 1u << route->method | 1u << HTTP_OPTIONS;
        if (route->method == HTTP_GET)
            match.allowed |= 1u << HTTP_HEAD;
        if (route->method == wanted && !match.route) {
            match.route = route;
            match.segment = segment;
        }
    }
    return match;
}
