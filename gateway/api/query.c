#include "gateway/api/query.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/server.h"
#include "gateway/response/respond.h"

/* The index of the parameter that "name" or "name=value" sets; `count` if it is unknown. */
static size_t find_parameter(struct http_text item, const struct query_parameter *parameters, size_t count)
{
    const char *equals = memchr(item.data, '=', item.len);
    struct http_text name = {item.data, equals ? (size_t)(equals - item.data) : item.len};

    for (size_t i = 0; i < count; i++)
        if (http_text_is(name, parameters[i].name))
            return i;
    return count;
}

static const char *read_each_parameter(const struct http_request *request, const struct query_parameter *parameters,
                                       size_t count)
{
    const char *at = request->query.data, *end = at + request->query.len;
    unsigned seen = 0;

    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        struct http_text item = {at, (size_t)((next ? next : end) - at)};
        size_t i = find_parameter(item, parameters, count);

        if (i == count)
            return "This address does not take one of these parameters.";
        if (seen & 1u << i)
            return "A parameter is given twice.";
        if (!http_request_query(request, parameters[i].name, parameters[i].out, parameters[i].size))
            return "A parameter is too long, or not well encoded.";
        seen |= 1u << i;
        at += item.len + 1;
    }
    return NULL;
}

bool query_read(struct http_exchange *exchange, const struct query_parameter *parameters, size_t count)
{
    const struct http_request *request = http_exchange_request(exchange);
    const char *why = request->query.len ? read_each_parameter(request, parameters, count) : NULL;

    if (why)
        respond_problem(exchange, PROBLEM_INVALID_QUERY, why);
    return !why;
}

bool query_is_page_size(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strtol(text, NULL, 10) >= 1 &&
           strtol(text, NULL, 10) <= QUERY_PAGE_MAX;
}
