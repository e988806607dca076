/* media - the headers Content-Type and Accept
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_MEDIA_H
#define ARKRELAY_GATEWAY_REQUEST_MEDIA_H

#include <stdbool.h>
#include <stddef.h>

/* application/json, without charset or with UTF-8. */
bool media_is_json(const char *content_type, size_t len);

/* Whether one Accept header accepts "type/subtype". The most specific range decides; q=0 excludes. */
bool media_is_accepted(const char *accept, size_t len, const char *type, const char *subtype);

#endif
