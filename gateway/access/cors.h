/* cors - which web pages may call the API from a browser
 *
 * "*" allows every origin. A comma-separated list allows exactly these origins; then responses depend on the request's Origin, and
 * all of them have `Vary: Origin`.
 *
 * Ownership: cors_create copies the list.   Threads: any; read-only after creation.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_CORS_H
#define ARKRELAY_GATEWAY_ACCESS_CORS_H

#include <stddef.h>

#include "common/http/request.h"

struct cors;
struct http_exchange;

struct cors *cors_create(const char *origins); /* NULL when out of memory */
struct cors *cors_destroy(struct cors *cors);  /* accepts NULL; returns NULL */

/* The value of Access-Control-Allow-Origin for a request from `origin`; NULL: do not send the header. */
const char *cors_allowed(const struct cors *cors, const char *origin, size_t len);

/* Adds the CORS headers to the response of this request. */
void cors_apply(const struct cors *cors, struct http_exchange *exchange);

/* The same for a request that the HTTP server refuses itself (hook on_refusal). */
void cors_apply_to_refusal(const struct cors *cors, struct http_exchange *exchange, struct http_text head);

#endif
