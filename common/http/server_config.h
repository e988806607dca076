/* http/server_config - what one HTTP server is configured with: address, routes, hooks, limits and deadlines
 *
 * Ownership: the server copies the struct. Everything that it points to is borrowed for the life of the server.
 * Threads:   hooks are called on the loop's thread.   Units: ms, bytes.
 */
#ifndef ARKRELAY_HTTP_SERVER_CONFIG_H
#define ARKRELAY_HTTP_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/http/request.h"
#include "common/http/route.h"

struct http_address_limit;
struct http_tls;
struct problem_details;

/* An error in another form than problem+json. The body is empty at first. */
struct http_problem_answer {
    struct buf body;
    int status;
    const char *content_type;
};

struct http_server_config {
    const char *listen;                       /* "host:port", "[v6]:port"; port 0 picks a free one */
    bool share_port;                          /* SO_REUSEPORT, for one listener per thread or process */
    struct http_tls *tls;                     /* may be shared between servers; NULL: plain HTTP */
    struct http_address_limit *address_limit; /* may be shared between servers; NULL: no limit per client address */
    const struct http_route *routes;
    size_t route_count;
    void *arg; /* passed to handlers and hooks */

    /* Handlers, closed by NULL, that take the body of the request themselves while it arrives: on_request and the handler are called when
     * the head is complete, and no byte of the body is read before http_body_take. May be NULL. */
    http_handler_fn *const *body_takers;

    /* Called with every request that parsed, before routing. For headers that every answer needs (CORS), and for authentication. If it
     * answers, no handler is called. It may also suspend the request, see http_exchange_hold. May be NULL. */
    http_handler_fn *on_request;

    /* Called before the server itself refuses input that is not a complete, supported request (400, 408, 411, 413, 414, 417, 431, 501,
     * 503, 505). For headers that these answers need as well. `head` is the part of the head that has arrived; it may be incomplete
     * or malformed, http_head_header reads it. The exchange has no request, and the hook must not answer. May be NULL. */
    void (*on_refusal)(struct http_exchange *exchange, struct http_text head, void *arg);

    /* Writes the body of an error, for paths that have a form of their own, and may add headers. False: problem+json. `path` is empty
     * if the request has none. Also called for requests that the server itself refuses. May be NULL. */
    bool (*write_problem)(struct http_exchange *exchange, struct http_text path, const struct problem_details *details,
                          struct http_problem_answer *out, void *arg);

    /* Called for a stream that waits for room (http_stream_wait_for_room), with the argument of its on_closed. It may write to the
     * stream or end it. May be NULL if no stream waits. */
    void (*on_room)(void *handler_arg);

    /* For metrics: each answer when its head is written, with the route of the request (NULL if it has none), and the number of
     * open connections whenever it changes. Either may be NULL. */
    void (*on_answer)(const struct http_route *route, int status, void *arg);
    void (*on_connections)(size_t count, void *arg);

    struct http_limits limits;
    bool half_close_is_gone; /* treat a client that has sent FIN as gone, and drop its answer */
    /* Written into an open event stream when its client sends FIN; into a stream of another type, a space. A client that has gone answers with a reset, and on_closed follows. A
     * client that only half-closed keeps reading. NULL: nothing is written, so only the handler's next write can find out. */
    const char *half_close_text;
    size_t connections_max;
    /* http_stream_write cuts a stream that has more unsent bytes than this. A handler that asks http_stream_is_behind before each write,
     * and waits for room, is not cut; it must limit the wait itself. */
    size_t output_max;
    int64_t head_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    int64_t taken_body_timeout_ms; /* body_timeout_ms of a body that a handler takes itself */
    /* Input after the last answer: the longest pause, and the longest time in all (in whole seconds). */
    int64_t linger_timeout_ms, linger_max_ms;
};

/* Sets the documented defaults; the caller fills in at least listen, routes, route_count and arg. */
void http_server_config_init(struct http_server_config *config);

#endif
