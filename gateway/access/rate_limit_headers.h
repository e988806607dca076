/* rate_limit_headers - response headers that state a client's limits
 *
 *     RateLimit-Policy: "requests";q=600;w=60, "images";q=200;w=86400
 *     RateLimit: "requests";r=599;t=1
 *
 * The fields of draft-ietf-httpapi-ratelimit-headers. Only limits that the client has are listed. `t` is the number of seconds
 * until the full quota is available again, or, if nothing is left, until at least one unit is.
 *
 * Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_RATE_LIMIT_HEADERS_H
#define ARKRELAY_GATEWAY_ACCESS_RATE_LIMIT_HEADERS_H

#include <stdint.h>

struct client;
struct http_exchange;

void rate_limit_headers_add_policy(struct http_exchange *exchange, const struct client *client);
void rate_limit_headers_add_requests(struct http_exchange *exchange, int64_t left, int64_t reset_ms);
void rate_limit_headers_add_images(struct http_exchange *exchange, int64_t left, int64_t reset_ms);

#endif
