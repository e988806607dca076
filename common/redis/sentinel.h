/* redis/sentinel - which server is the master now?
 *
 * Asks all sentinels of an address at the same time. The first that names a host is believed: one that does not know of a failover
 * yet is found out by the server itself, which says in its ROLE that it is no master.
 *
 * User and password of the address are Redis'; sentinels that want some get the same.
 *
 * Ownership: a question ends in its callback, or in sentinel_cancel.
 * Threads:   the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_REDIS_SENTINEL_H
#define ARKRELAY_REDIS_SENTINEL_H

#include <stdint.h>

#include "common/redis/address.h"

struct loop;
struct sentinel;

/* The master, valid during the callback; or NULL, and then `why` says what the last sentinel said. */
typedef void sentinel_fn(const struct redis_host *master, const char *why, void *arg);

/* NULL when out of memory. Borrows the address. `done` never runs from inside this call. A sentinel that takes the connection and
 * says nothing is waited for: the deadline of the whole is the caller's. */
struct sentinel *sentinel_ask(struct loop *loop, const struct redis_address *address, int64_t connect_timeout_ms,
                              sentinel_fn *done, void *arg);
struct sentinel *sentinel_cancel(struct sentinel *sentinel); /* accepts NULL; returns NULL */

#endif
