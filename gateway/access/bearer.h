/* bearer - keys in the Authorization header (RFC 6750)
 *
 * Of clients and of operators alike. A key comes in this header only: addresses end up in logs.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_BEARER_H
#define ARKRELAY_GATEWAY_ACCESS_BEARER_H

#include <stdbool.h>

#include "common/http/request.h"

struct http_exchange;

/* What stands behind "Bearer "; data is NULL where there is no such header. */
struct http_text bearer_token(const struct http_request *request);

/* Compares with a key that is kept in the clear; tells nobody how long it is, nor where a guess goes wrong. */
bool bearer_is(struct http_text token, const char *key);

/* The one answer to every wrong key: 401, the same for all. */
void bearer_refuse(struct http_exchange *exchange);

#endif
