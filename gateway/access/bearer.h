/* bearer - keys in the Authorization header (RFC 6750)
 *
 * For clients and operators. Keys are accepted in this header only: URLs end up in logs.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_BEARER_H
#define ARKRELAY_GATEWAY_ACCESS_BEARER_H

#include <stdbool.h>

#include "common/http/request.h"

struct http_exchange;

/* The text after "Bearer "; data is NULL if the header is absent or has another scheme. */
struct http_text bearer_token(const struct http_request *request);

/* Compares with a key that is configured in plain text, in constant time: neither its length nor the position of the first
 * difference can be measured. */
bool bearer_is(struct http_text token, const char *key);

/* 401, the same for every wrong or missing key. */
void bearer_refuse(struct http_exchange *exchange);

#endif
