/* runner - keeps up to N jobs in flight
 *
 * Owns the worker's connections to Redis and the parts that speak to it: claim, leases, reaper, and the jobs. A job ends in its own
 * time; its place is filled again. Draining claims nothing more, hands back what comes too late, and waits for
 * what runs: it is paid.
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_RUNNER_H
#define ARKRELAY_WORKER_RUNNER_H

#include <stdbool.h>

#include "common/redis/address.h"
#include "worker/options.h"

struct loop;
struct metrics;
struct runner;

struct runner_config {
    struct loop *loop;
    const struct worker_options *options; /* borrowed */
    const struct redis_address *redis;    /* borrowed */
    const char *name;                     /* this worker's; borrowed */
    struct metrics *metrics;              /* borrowed; NULL: nobody counts */
    void (*on_drained)(void *arg);
    void (*on_unfit)(const char *why, void *arg); /* Redis is there, and must not keep tasks: the program is to end */
    void *arg;
};

struct runner *runner_create(const struct runner_config *config); /* NULL when out of memory */
struct runner *runner_destroy(struct runner *runner); /* drops what runs: REAP settles it; accepts NULL; returns NULL */

/* on_drained follows when no job is left, never from inside of this call. */
void runner_drain(struct runner *runner);

bool runner_is_ready(const struct runner *runner); /* Redis is there and jobs are taken */
bool runner_has_redis(const struct runner *runner);
int runner_jobs(const struct runner *runner);

#endif
