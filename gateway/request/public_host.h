/* public_host - does this host of a URL stand in the public internet, as far as its text can tell?
 *
 * Refuses addresses of private, local, reserved and documentation ranges, IPv4 inside of IPv6 included, every spelling of
 * an IPv4 address but the dotted quad, and names that only mean something inside of a network. What a name resolves to
 * is not looked at.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_PUBLIC_HOST_H
#define ARKRELAY_GATEWAY_REQUEST_PUBLIC_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* `host` as in a URL: an IPv6 address stands in brackets. */
bool host_is_public(const char *host, size_t len);

#endif
