/* worker - keeps up to WORKER_CONCURRENCY jobs in flight
 *
 * Owns the connections to Redis, the client for ARK, the parts of queue/ and account/, the role outbox, and all jobs, and connects them:
 *
 *     claim -> job: when a task was claimed        lease -> job: cancelled, lost
 *     job -> claim: when a job has ended           governor -> claim: permits granted; -> job: confirmed; -> probe: probe a model
 *
 * A drain claims no more tasks, hands back those that a CLAIM in flight still brings, and waits for running jobs, because their calls are paid.
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_WORKER_H
#define ARKRELAY_WORKER_WORKER_H

#include <stdbool.h>

#include "common/redis/address.h"
#include "worker/options.h"

struct catalogue_file;
struct loop;
struct metrics;
struct worker;

struct worker_config {
    struct loop *loop;
    const struct worker_options *options; /* borrowed */
    const struct redis_address *redis;    /* borrowed */
    struct catalogue_file *models;        /* loaded; borrowed */
    const char *name;                     /* this worker's name; borrowed */
    struct metrics *metrics;              /* borrowed; may be NULL */
    void (*on_drained)(void *arg);
    void (*on_unfit)(const char *why, void *arg); /* Redis is misconfigured: the program must exit */
    void *arg;
};

struct worker *worker_create(const struct worker_config *config); /* NULL when out of memory */
struct worker *
worker_destroy(struct worker *worker); /* drops running jobs, which REAP settles; accepts NULL; returns NULL */

/* Switches to the current catalogue of config.models, for jobs that start from now on. */
void worker_reload(struct worker *worker);

/* on_drained follows when no job is left, never from inside this call. */
void worker_drain(struct worker *worker);

bool worker_is_ready(const struct worker *worker); /* Redis is ready, and the worker is not draining */
bool worker_has_redis(const struct worker *worker);
int worker_jobs(const struct worker *worker);

void worker_fill_metrics(const struct worker *worker, struct metrics *metrics); /* the gauges */

#endif
