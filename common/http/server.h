/* http/server - a strict, bounded HTTP/1.1 server on one loop
 *
 * It knows methods, paths, deadlines and bytes, and nothing of what they mean. A request is routed by a table; its handler gets
 * an exchange and answers it once, now or later. One request at a time per connection: the bytes of further requests wait until
 * the answer is complete. Errors of HTTP itself are answered here, as problem+json, and any doubt about framing closes
 * the connection.
 *
 * HEAD is answered wherever GET is, without the body. OPTIONS is answered here: 204 with Allow from the table.
 *
 * Bounds from birth: bytes of head and body, connections in all and per address, unsent output of a stream, and total (not idle)
 * deadlines for the head (with the TLS handshake), the body, a stalled write, an idle kept-alive connection and input after the last answer.
 *
 * Ownership: the server owns its connections and they their exchanges. An exchange lives until its answer has been handed over
 *            (http_respond, http_stream_end, http_abort) or until on_closed was called, whichever comes first.
 * Threads:   the loop's thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_HTTP_SERVER_H
#define ARKRELAY_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/http/request.h"
#include "common/problem.h"

struct http_exchange;
struct http_peers;
struct http_server;
struct http_tls;
struct loop;

typedef void http_handler_fn(struct http_exchange *exchange, void *arg);

struct http_route {
    enum http_method method;
    const char *path; /* "/tasks/{id}/stream": {id} is one non-empty segment; at most one per path */
    http_handler_fn *handler;
};

struct http_server_config {
    const char *listen;       /* "host:port", "[v6]:port"; port 0 picks a free one */
    bool share_port;          /* SO_REUSEPORT, for one listener per thread or process */
    struct http_tls *tls;     /* may be shared; NULL: plain HTTP */
    struct http_peers *peers; /* may be shared; NULL: an address may have as many connections as there are */
    const struct http_route *routes;
    size_t route_count;
    void *arg; /* for the handlers and the hook below */

    /* Called with every request that parsed, before routing: the place for headers that all answers have (CORS), and for whoever
     * asks who it is. When it answers at once, no handler follows; it may also put the request off, see http_exchange_hold.
     * May be NULL. */
    http_handler_fn *on_request;

    /* For those who count: each answer as its head is written, with the request's row (NULL where it has none), and the number of
     * open connections whenever it changes. Either may be NULL. */
    void (*on_answer)(const struct http_route *route, int status, void *arg);
    void (*on_connections)(size_t count, void *arg);

    struct http_limits limits;
    bool half_close_is_gone; /* a client that has sent FIN does not wait for an answer */
    /* Written into an open stream when its client sends FIN: one that has gone answers with a reset, and on_closed follows; one that only
     * half-closed reads on. NULL: the next write of the handler shows it. */
    const char *half_close_probe;
    size_t connections_max;
    size_t output_max; /* a stream whose reader is further behind than this when it writes again is cut */
    int64_t head_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    int64_t linger_timeout_ms,
        linger_max_ms; /* a client that still sends after the last answer: its silence, and in all (whole seconds) */
};

/* Limits and deadlines as documented; listen, routes and arg are the caller's to fill. */
void http_server_config_init(struct http_server_config *config);

/* Listens at once. On failure NULL, and *why says what the system said (a constant or strerror's text). */
struct http_server *http_server_create(struct loop *loop, const struct http_server_config *config, const char **why);
/* Closes all that is open; not from inside of a handler. Accepts NULL; returns NULL. */
struct http_server *http_server_destroy(struct http_server *server);

/* "127.0.0.1:41235": where it really listens. */
const char *http_server_address(const struct http_server *server);

/* Closes the listener and idle connections; every answer from now on closes its connection. Requests that have come by now are
 * still served: their handlers may be called from in here. */
void http_server_drain(struct http_server *server);
size_t http_server_connections(const struct http_server *server);

/* -- the request; valid until the answer begins */

const struct http_request *http_exchange_request(const struct http_exchange *exchange);
/* The client's when sane, else a random one. */
const char *http_exchange_request_id(const struct http_exchange *exchange);
struct http_text http_exchange_segment(const struct http_exchange *exchange); /* what {id} matched, decoded */

/* Called when the client is gone before the answer was complete, or the server closes; the exchange is invalid afterwards. Never
 * from inside a call that the handler makes. Not called after the answer was handed over. */
void http_exchange_on_closed(struct http_exchange *exchange, void (*on_closed)(void *arg), void *arg);

/* From the hook: no handler follows until http_exchange_resume. Whoever holds a request is told by http_exchange_on_closed, and may
 * also answer it instead. Resuming runs the handler from inside the call, as if nobody had asked to be told yet. */
void http_exchange_hold(struct http_exchange *exchange);
void http_exchange_resume(struct http_exchange *exchange);

/* What the hook has found out about a request, for its handler. The server does not look at it; NULL until it is set. */
void http_exchange_set_note(struct http_exchange *exchange, void *note);
void *http_exchange_note(const struct http_exchange *exchange);

/* -- the answer: either http_respond*, or http_stream_begin .. http_stream_end */

/* For the head of the answer, before it begins. name and value are copied; value must hold no control byte (it is dropped if
 * it does). X-Request-Id replaces the exchange's own; Connection can only mean that this is the last answer. */
void http_add_header(struct http_exchange *exchange, const char *name, const char *value);

void http_respond(struct http_exchange *exchange, int status, const char *content_type, const char *body, size_t len);
/* request_id is filled in here. */
void http_respond_problem(struct http_exchange *exchange, const struct problem_report *report);

/* A body of unknown length: chunked for HTTP/1.1, ended by close for HTTP/1.0. For HEAD the head is sent and on_closed
 * follows. The parser and its bytes are freed: an open stream holds only what it needs. Bytes that the client sends on an open
 * stream wait until it has ended. */
void http_stream_begin(struct http_exchange *exchange, int status, const char *content_type);

/* One call is one chunk and one piece in the output. When the reader is too far behind, the connection is cut and on_closed
 * follows on a later turn. */
void http_stream_write(struct http_exchange *exchange, const char *bytes, size_t len);
void http_stream_end(struct http_exchange *exchange);

/* This answer, which may have begun, is the connection's last. */
void http_close_after(struct http_exchange *exchange);

/* Raw control, for servers that misbehave on purpose: bytes as they are, behind what was written (without a head before them, only
 * closing ends them); and closing with what the kernel does not take at once discarded, by FIN or by RST. */
enum http_abort { HTTP_ABORT_FIN, HTTP_ABORT_RST };
void http_raw_write(struct http_exchange *exchange, const char *bytes, size_t len);
void http_abort(struct http_exchange *exchange, enum http_abort how);

/* Bytes written and not yet taken by the kernel. */
size_t http_exchange_unsent(const struct http_exchange *exchange);

#endif
