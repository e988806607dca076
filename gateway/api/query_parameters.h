/* api/query - the parameters of an address, by a list of those that it takes */
#ifndef ARKRELAY_GATEWAY_API_QUERY_PARAMETERS_H
#define ARKRELAY_GATEWAY_API_QUERY_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>

struct http_exchange;

/* A text with room for `size` bytes, NUL included; a parameter that is not given leaves it as it is. */
struct query_parameter {
    const char *name;
    char *out;
    size_t size;
};

/* False: there is one that the address does not take, comes twice, is too long or badly encoded; that was answered (400). */
bool query_parameters_read(struct http_exchange *exchange, const struct query_parameter *parameters, size_t count);

#endif
