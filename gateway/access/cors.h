/* cors - which web pages may call the API from a browser
 *
 * "*" lets every page in, as the API always has. A comma list lets exactly these origins in; what is answered depends on the
 * Origin then, and every answer says so (Vary).
 *
 * Ownership: cors_create copies the list.   Threads: read-only once created, so any.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_CORS_H
#define ARKRELAY_GATEWAY_ACCESS_CORS_H

#include <stddef.h>

#include "common/http/request.h"

struct cors;
struct http_exchange;

struct cors *cors_create(const char *origins); /* NULL when out of memory */
struct cors *cors_destroy(struct cors *cors);  /* accepts NULL; returns NULL */

/* The value of Access-Control-Allow-Origin for a request from `origin`, or NULL: the header is not sent. */
const char *cors_allowed(const struct cors *cors, const char *origin, size_t len);

/* Adds the headers that the answer to this request has. */
void cors_apply(const struct cors *cors, struct http_exchange *exchange);

/* The same for a request that the server refuses; `head` as the server's hook on_refusal is given it. */
void cors_apply_to_refusal(const struct cors *cors, struct http_exchange *exchange, struct http_text head);

#endif
