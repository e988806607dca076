/* public_host - is the host of a URL on the public internet, as far as its text shows?
 *
 * Rejects addresses that are not public (common/base/public_address.h), every spelling of an IPv4 address except the dotted quad,
 * and names that are only valid inside a network. Names are not resolved.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_PUBLIC_HOST_H
#define ARKRELAY_GATEWAY_REQUEST_PUBLIC_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* `host` as in a URL: IPv6 addresses in brackets. */
bool host_is_public(const char *host, size_t len);

#endif
