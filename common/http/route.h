/* http/route - the route table: finds the handler for a method and a path
 *
 * Paths are compared byte by byte as they were sent: no percent-decoding, no folding of dots or double slashes.
 *
 * Ownership: everything is borrowed.
 * Pure.
 */
#ifndef ARKRELAY_HTTP_ROUTE_H
#define ARKRELAY_HTTP_ROUTE_H

#include <stddef.h>

#include "common/http/request.h"

struct http_exchange;

typedef void http_handler_fn(struct http_exchange *exchange, void *arg);

struct http_route {
    enum http_method method;
    /* "/tasks/{id}/stream": {id} matches one non-empty segment; at most one per path. "/p/{path}" matches all that follows. */
    const char *path;
    http_handler_fn *handler;
};

struct http_route_table {
    const struct http_route *routes;
    size_t count;
};

struct http_route_match {
    const struct http_route *route; /* NULL: the path does not exist, or not for this method */
    struct http_text segment;       /* the part that {id} matched, not decoded */
    unsigned allowed;               /* bit 1 << method for each method of this path; 0: the path does not exist */
};

/* HEAD is allowed where GET is, OPTIONS on every path. */
struct http_route_match http_route_find(struct http_route_table table, enum http_method method, struct http_text path);

#endif
