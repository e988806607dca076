/* redis/dial - connects a socket to an address
 *
 * Tries all IP addresses of the host one after the other, each with an equal share of the timeout. IP addresses, "localhost" and
 * socket paths need no name server.
 *
 * Ownership: a dial ends in its callback or in dial_cancel. The callback owns the socket.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_REDIS_DIAL_H
#define ARKRELAY_REDIS_DIAL_H

#include <stdint.h>

struct dial;
struct loop;
struct redis_address;

/* fd is a connected, non-blocking socket; or -1, and `why` is the last error. */
typedef void dial_fn(int fd, const char *why, void *arg);

/* Borrows the address. NULL when out of memory. `done` never runs inside this call. */
struct dial *dial_start(struct loop *loop, const struct redis_address *address, int64_t timeout_ms, dial_fn *done,
                        void *arg);
struct dial *dial_cancel(struct dial *dial); /* accepts NULL; returns NULL */

#endif
