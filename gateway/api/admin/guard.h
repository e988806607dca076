/* admin/guard - access to the operators' endpoints (/admin/ and /metrics)
 *
 * /admin/ needs the admin key. If none is configured, everything below /admin/ returns 404. With a key configured, every request
 * below /admin/ without it returns 401, whether the address exists or not. /metrics needs the key only if one is configured. API
 * keys of clients are not accepted. A CORS preflight request (OPTIONS) cannot carry a key and is let through.
 */
#ifndef ARKRELAY_GATEWAY_API_ADMIN_GUARD_H
#define ARKRELAY_GATEWAY_API_ADMIN_GUARD_H

struct http_exchange;

/* Runs before routing, for every request; answers those that are refused. admin_key is "" if none is configured. */
void admin_guard(const char *admin_key, struct http_exchange *exchange);

#endif
