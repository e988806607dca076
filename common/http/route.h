/* http/route - which row of the route table a request belongs to
 *
 * Paths are compared as they were sent, byte by byte: nothing is decoded, no dots or double slashes are folded.
 *
 * Pure.
 */
#ifndef ARKRELAY_HTTP_ROUTE_H
#define ARKRELAY_HTTP_ROUTE_H

#include "common/http/server.h"

struct http_route_match {
    const struct http_route *route; /* NULL: no row takes this method here */
    struct http_text segment;       /* what {id} matched */
    unsigned allowed;               /* a bit per method that the path takes; 0: there is no such path */
};

struct http_route_match http_route_find(const struct http_server_config *config, enum http_method method,
                                        struct http_text path);

#endif
