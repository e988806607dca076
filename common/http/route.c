#include "common/http/route.h"

#include <string.h>

/* True when `path` has the form of `pattern`; its variable segment goes to *segment. */
static bool matches(const char *pattern, struct http_text path, struct http_text *segment)
{
    const char *at = path.data, *end = path.data + path.len;

    for (; *pattern && at < end; pattern++) {
        if (*pattern == '{') {
            const char *slash = memchr(at, '/', (size_t)(end - at));

            *segment = (struct http_text){at, (size_t)((slash ? slash : end) - at)};
            if (!segment->len)
                return false;
            at += segment->len;
            pattern = strchr(pattern, '}');
        } else if (*pattern != *at++) {
            return false;
        }
    }
    return !*pattern && at == end;
}

struct http_route_match http_route_find(const struct http_server_config *config, enum http_method method,
                                        struct http_text path)
{
    enum http_method asked = method == HTTP_HEAD ? HTTP_GET : method;
    struct http_route_match match = {0};

    for (size_t i = 0; i < config->route_count; i++) {
        const struct http_route *route = &config->routes[i];
        struct http_text segment = {0};

        if (!matches(route->path, path, &segment))
            continue;
        match.allowed |= 1u << route->method | 1u << HTTP_OPTIONS;
        if (route->method == HTTP_GET)
            match.allowed |= 1u << HTTP_HEAD;
        if (route->method == asked && !match.route) {
            match.route = route;
            match.segment = segment;
        }
    }
    return match;
}
