/* query - the parameters in the query of a request */
#ifndef ARKRELAY_GATEWAY_API_QUERY_H
#define ARKRELAY_GATEWAY_API_QUERY_H

#include <stdbool.h>
#include <stddef.h>

struct http_exchange;

struct query_parameter {
    const char *name;
    char *out;   /* not changed if the parameter is absent */
    size_t size; /* of `out`, NUL included */
};

/* False: a parameter is unknown, repeated, too long or badly encoded, and the exchange was answered with 400. */
bool query_read(struct http_exchange *exchange, const struct query_parameter *parameters, size_t count);

/* `limit` of lists: rows per page. */
enum { QUERY_PAGE = 50, QUERY_PAGE_MAX = 200 };
#define QUERY_PAGE_WORDS "limit: 1 to 200."
bool query_is_page_size(const char *text);

#endif
