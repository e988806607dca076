/* admission - who asks, and whether it may ask now
 *
 * Every request under the API's base passes here before it is routed. Where there are keys it needs one; without keys everybody is the client
 * `public`. A client with a limit of requests waits for what Redis says of it; Redis being away is 503, as everywhere.
 *
 * A preflight request (OPTIONS) cannot carry a key, and passes.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_ADMISSION_H
#define ARKRELAY_GATEWAY_ACCESS_ADMISSION_H

struct client;
struct gateway;
struct http_exchange;

/* Before routing, of every request: answers those that may not pass, or puts them off until that is known. */
void admission_check(const struct gateway *gateway, struct http_exchange *exchange);

/* Who asks. For handlers of addresses under the base. */
struct client *admission_client(const struct http_exchange *exchange);

#endif
