/* api/query_parameters - read the parameters of a URL that an endpoint accepts, and reject all others */
#ifndef ARKRELAY_GATEWAY_API_QUERY_PARAMETERS_H
#define ARKRELAY_GATEWAY_API_QUERY_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>

struct http_exchange;

struct query_parameter {
    const char *name;
    char *out;   /* not changed if the parameter is absent */
    size_t size; /* of `out`, NUL included */
};

/* False: a parameter is unknown, repeated, too long or badly encoded, and the exchange was answered with 400. */
bool query_parameters_read(struct http_exchange *exchange, const struct query_parameter *parameters, size_t count);

#endif
