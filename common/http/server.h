/* http/server - a strict, bounded HTTP/1.1 server on one event loop
 *
 * The server knows methods, paths, deadlines and bytes, and nothing of the application. A request is routed by a table. Its handler
 * is given an exchange and answers it once, now or later (exchange.h).
 *
 * The server itself answers:
 *   - HTTP errors, as problem+json or in the form that write_problem chooses. Any doubt about framing closes the connection.
 *   - HEAD wherever GET has a route, without the body.
 *   - OPTIONS with 204, and Allow from the route table.
 *   - Connections above connections_max or above the limit of their address, with 503.
 *
 * Everything that a client can make grow has a maximum in server_config.h: head, body, connections, unsent output of a stream. Deadlines
 * for the head (with the TLS handshake) and the body are total, so trickling bytes does not extend them.
 *
 * Grammar: RFC 9110, RFC 9112; request_parser.h lists the choices where they leave one.
 *
 * Modules of http/, each using only those above it:
 *   text                       pieces of a message, character classes
 *   request                    a parsed request
 *   request_parser, chunked    decoders of head and body
 *   route, server_config       tables and settings
 *   tls, address, address_limit
 *   connection                 one socket: states, deadlines, buffers
 *   exchange                   one request and its answer, for handlers
 *   server                     listener and accept
 * Not part of the server: healthcheck, the client that --healthcheck runs; multipart, a decoder of bodies for handlers.
 *
 * Ownership: the caller owns the server, the server its connections, and each connection its exchange.
 * Threads:   the loop's thread only; one server per thread may share tls, address_limit and the port.
 * Units:     ms, bytes.
 */
#ifndef ARKRELAY_HTTP_SERVER_H
#define ARKRELAY_HTTP_SERVER_H

#include <stddef.h>

#include "common/http/exchange.h"
#include "common/http/server_config.h"

struct http_server;
struct loop;

/* Listens at once. On failure NULL, and *why is the reason (a constant or strerror's text). */
struct http_server *http_server_create(struct loop *loop, const struct http_server_config *config, const char **why);

/* Closes all connections. Not from inside a handler. Accepts NULL; returns NULL. */
struct http_server *http_server_destroy(struct http_server *server);

/* The address it listens on, with the real port: "127.0.0.1:41235". */
const char *http_server_address(const struct http_server *server);

/* Closes the listener and idle connections. Requests that have arrived are still served, and their handlers may be called from inside
 * this call. Every answer from now on closes its connection. */
void http_server_drain(struct http_server *server);

size_t http_server_connections(const struct http_server *server); /* open connections */

#endif
