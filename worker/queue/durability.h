/* durable - is what was written on a connection safe by now?
 *
 * Redis answers before a write is on disk or at a replica. Where a lost record would mean a second paid call, the worker asks for the
 * confirmation: WAITAOF (Redis 7.2, Valkey) or WAIT, on the connection that wrote. Both block the connection, so one
 * command at a time confirms all that was asked for before it.
 *
 * Ownership: borrows the connection, which is for these writes alone.   Threads: the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_QUEUE_DURABILITY_H
#define ARKRELAY_WORKER_QUEUE_DURABILITY_H

#include <stdbool.h>
#include <stdint.h>

enum durability_level { DURABILITY_NONE, DURABILITY_AOF, DURABILITY_REPLICA };

struct durability;
struct durability_wait;
struct redis;

/* kind is not DURABILITY_NONE. NULL when out of memory. */
struct durability *durability_create(struct redis *redis, enum durability_level kind, int64_t timeout_ms);
struct durability *
durability_destroy(struct durability *durability); /* accepts NULL; nobody waits any more; returns NULL */

/* Never from inside of durability_confirm. */
typedef void durability_fn(bool confirmed, void *arg);

/* NULL when it cannot be asked: then nothing follows. */
struct durability_wait *durability_confirm(struct durability *durability, durability_fn *done, void *arg);
void durability_cancel(struct durability_wait *wait); /* `done` will not be called */

#endif
