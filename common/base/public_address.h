/* public_address - is an IP address on the public internet?
 *
 * The one table of addresses that a request for a stranger must not reach: private, local, reserved and documentation ranges of the IANA
 * special-purpose registries, and IPv6 addresses that embed such an IPv4 address. Only IPv6's global unicast range is public.
 *
 * Judge the address that is connected to. A name may have been resolved to a public one before (DNS rebinding), and the text of a URL has
 * many spellings of an address.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_PUBLIC_ADDRESS_H
#define ARKRELAY_BASE_PUBLIC_ADDRESS_H

#include <stdbool.h>

struct sockaddr;

bool ipv4_is_public(const unsigned char address[4]);
bool ipv6_is_public(const unsigned char address[16]);   /* ::ffff:0:0/96 and 64:ff9b::/96 by the IPv4 address in it */
bool address_is_public(const struct sockaddr *address); /* false for families other than IPv4 and IPv6 */

#endif
