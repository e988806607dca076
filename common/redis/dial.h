/* redis/dial - from an address to a connected socket
 *
 * Tries each address that a host has, one after the other, each with its share of the time. Numbers, "localhost" and socket
 * paths need no name server.
 *
 * Ownership: a dial ends in its callback, or in dial_cancel; the socket is the callback's.
 * Threads:   the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_REDIS_DIAL_H
#define ARKRELAY_REDIS_DIAL_H

#include <stdint.h>

struct dial;
struct loop;
struct redis_address;

/* fd is a connected, non-blocking socket; or -1, and then `why` says what happened. */
typedef void dial_fn(int fd, const char *why, void *arg);

/* NULL when out of memory. `done` never runs from inside this call. */
struct dial *dial_start(struct loop *loop, const struct redis_address *address, int64_t timeout_ms, dial_fn *done,
                        void *arg);
struct dial *dial_cancel(struct dial *dial); /* accepts NULL; returns NULL */

#endif
