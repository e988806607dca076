/* redis/sentinel - asks the sentinels of an address for the master
 *
 * All sentinels are asked at the same time; the first that names a host wins. A sentinel that has not noticed a failover names the
 * old master. The client detects that by its ROLE. The address's user and password are those of Redis; sentinels that require a
 * password get the same.
 *
 * Ownership: a question ends in its callback or in sentinel_cancel. Borrows the address.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_REDIS_SENTINEL_H
#define ARKRELAY_REDIS_SENTINEL_H

#include <stdint.h>

#include "common/redis/address.h"

struct loop;
struct sentinel;

/* The master, valid during the callback; or NULL, and `why` is the error of the last sentinel. */
typedef void sentinel_fn(const struct redis_host *master, const char *why, void *arg);

/* NULL when out of memory. `done` never runs inside this call. There is no timeout for the answers: the caller cancels. */
struct sentinel *sentinel_ask(struct loop *loop, const struct redis_address *address, int64_t connect_timeout_ms,
                              sentinel_fn *done, void *arg);
struct sentinel *sentinel_cancel(struct sentinel *sentinel); /* accepts NULL; returns NULL */

#endif
