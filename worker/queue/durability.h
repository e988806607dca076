/* durability - waits until Redis has a write on disk or at a replica
 *
 * Redis answers a command before its writes are on disk or at a replica. If the record of a paid call were lost, the call would be made a
 * second time. With PAID_CALL_DURABILITY, the worker therefore confirms the record before it calls ARK: with WAITAOF (Redis 7.2, Valkey)
 * or WAIT, on the connection that wrote it.
 *
 * Both commands block their connection, so one command at a time confirms all writes that were sent before it:
 *
 *     BEGIN a, confirm a -> WAITAOF      BEGIN b, confirm b and BEGIN c, confirm c wait -> a is confirmed -> WAITAOF for b and c
 *
 * Ownership: borrows the connection, which must be used for these writes only.   Threads: loop thread only.   Units: ms.
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
durability_destroy(struct durability *durability); /* accepts NULL; all waits must be cancelled; returns NULL */

/* Never called from inside durability_confirm. */
typedef void durability_fn(bool confirmed, void *arg);

/* Confirms everything written on the connection so far. NULL: cannot be sent; no callback follows. */
struct durability_wait *durability_confirm(struct durability *durability, durability_fn *done, void *arg);
void durability_cancel(struct durability_wait *wait); /* no callback follows */

#endif
