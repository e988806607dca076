/* api/admin - the door of the operators' addresses, all that begin with /admin/, and /metrics
 *
 * Without GATEWAY_ADMIN_KEY there are none of the former; with it, nobody learns more of them without the key than that they want
 * one. /metrics is open without a key, and wants it as soon as there is one. A client's key opens none of them. A
 * preflight request (OPTIONS) cannot carry a key, and passes.
 */
#ifndef ARKRELAY_GATEWAY_API_ADMIN_GUARD_H
#define ARKRELAY_GATEWAY_API_ADMIN_GUARD_H

struct gateway;
struct http_exchange;

/* Before routing, of every request: answers those that may not pass. */
void admin_guard(const struct gateway *gateway, struct http_exchange *exchange);

#endif
