/* routes - every address that the gateway serves, and its handler */
#ifndef ARKRELAY_GATEWAY_ROUTES_H
#define ARKRELAY_GATEWAY_ROUTES_H

#include <stddef.h>

#include "common/http/server.h"

extern const struct http_route api_routes[]; /* the handlers' argument is the struct api_context */
extern const size_t api_route_count;
extern http_handler_fn *const api_body_takers[]; /* handlers that take the body themselves, closed by NULL */

#endif
