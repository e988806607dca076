/* runner - keeps up to N jobs in flight
 *
 * Owns the worker's connections to Redis and the parts that speak to it: claim, leases, reaper, and the jobs. A job ends in its own
 * time; its place is filled again. Draining claims nothing more, hands back what comes too late, and waits for
 * what runs: it is paid.
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_WORKER_H
#define ARKRELAY_WORKER_WORKER_H

#include <stdbool.h>

#include "common/redis/address.h"
#include "worker/options.h"

struct loop;
struct metrics;
struct worker;

struct worker_config {
    struct loop *loop;
    const struct worker_options *options; /* borrowed */
    const struct redis_address *redis;    /* borrowed */
    const char *name;                     /* this worker's; borrowed */
    struct metrics *metrics;              /* borrowed; NULL: nobody counts */
    void (*on_drained)(void *arg);
    void (*on_unfit)(const char *why, void *arg); /* Redis is there, and must not keep tasks: the program is to end */
    void *arg;
};

struct worker *worker_create(const struct worker_config *config); /* NULL when out of memory */
struct worker *worker_destroy(struct worker *worker); /* drops what runs: REAP settles it; accepts NULL; returns NULL */

/* on_drained follows when no job is left, never from inside of this call. */
void worker_drain(struct worker *worker);

bool worker_is_ready(const struct worker *worker); /* Redis is there and jobs are taken */
bool worker_has_redis(const struct worker *worker);
int worker_jobs(const struct worker *worker);

#endif
