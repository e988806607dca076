/* http/peers - how many connections each client address has open
 *
 * One table for all servers of a process, so that the maximum holds however the kernel spreads an address over threads. An IPv6
 * client counts with its whole /64, which is what one subscriber gets; all that is no IP counts as one.
 *
 * An address is in the table while it has a connection. The table has its full size from birth, 24 bytes or less per connection
 * that may be open, of which the system hands out what is used.
 *
 * Threads: any.
 */
#ifndef ARKRELAY_HTTP_PEERS_H
#define ARKRELAY_HTTP_PEERS_H

#include <stddef.h>
#include <stdint.h>

struct http_peers;
struct sockaddr;

/* NULL when out of memory. */
struct http_peers *http_peers_create(size_t connections_max, size_t per_address_max);
struct http_peers *http_peers_destroy(struct http_peers *peers); /* accepts NULL; returns NULL */

/* One connection more. The entry is for http_peers_leave; 0: the address has as many as it may have. */
uint32_t http_peers_enter(struct http_peers *peers, const struct sockaddr *address);
void http_peers_leave(struct http_peers *peers, uint32_t entry);

#endif
