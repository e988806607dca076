/* http/address_limit - limits how many connections each client address may have open
 *
 * One table for all servers of a process, so the limit is the same however the kernel spreads an address over threads. An IPv6 client
 * is counted by its /64 network, which is what one subscriber gets. All addresses that are not IP are counted as one.
 *
 * The table has room for connections_max addresses from the start, at most 24 bytes each. The kernel provides only the pages
 * that are used.
 *
 * Ownership: the creator's; it must outlive the servers that use it.
 * Threads:   any; calls take a mutex.
 */
#ifndef ARKRELAY_HTTP_ADDRESS_LIMIT_H
#define ARKRELAY_HTTP_ADDRESS_LIMIT_H

#include <stddef.h>
#include <stdint.h>

struct http_address_limit;
struct sockaddr;

/* NULL when out of memory. */
struct http_address_limit *http_address_limit_create(size_t connections_max, size_t per_address_max);
struct http_address_limit *
http_address_limit_destroy(struct http_address_limit *limit); /* accepts NULL; returns NULL */

/* Counts one connection. The result is for http_address_limit_release; 0 if the address is at its limit, or the table is full. */
uint32_t http_address_limit_acquire(struct http_address_limit *limit, const struct sockaddr *address);
void http_address_limit_release(struct http_address_limit *limit, uint32_t entry);

#endif
