/* job - one attempt at a task: a lease, a permit, and one paid call
 *
 *     BEGINNING --OK--> CALLING --ARK's answer, error, timeout, cancel----> REPORTING --FINISH taken--> GONE
 *         |                 |                                                ^  ^
 *         |                 +--account or model closed--> CONFIRMING --------+  |
 *         +--no call: cancelled, budget used up, unreadable, too late ----------+   any state --lease lost, report failed--> GONE
 *
 * A task with uploads is OPENING before BEGINNING: it waits for the storage. What cannot be read ends the attempt without a call.
 * BEGINNING waits for Redis to record the paid call.
 * CALLING waits for ARK. Each slot of the group is reported as soon as it ends.
 * CONFIRMING waits for Redis to say whether this task, among the tasks of all workers, was the first to find the account or model closed. The
 * first one fails and says why; the others are deferred.
 * REPORTING waits for Redis to accept the end, also through an outage of Redis.
 *
 * job.c has the order of these steps. What each step does is in a file of its own:
 *
 *     OPENING    preparation: the task and its plan become ARK's request      job_permit: the images that are booked, whether the call must wait
 *     BEGINNING  report: the messages to Redis, in order                      refusal: why there is no call
 *     CALLING    ark_call: the HTTP call                                      slot_report: what is reported of each slot
 *     REPORTING  verdict: what a call means for its task                      ending: the delay, the cost and the message of the end
 *
 * Ownership: the keeper that starts a job destroys it, from inside on_gone or later. The context outlives all jobs.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WORKER_JOB_JOB_H
#define ARKRELAY_WORKER_JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/backoff.h"
#include "worker/ark/request.h"
#include "worker/call/ark_call.h"
#include "worker/job/picture_link.h"
#include "worker/queue/lease.h"

struct catalogue;
struct claimed_job;
struct durability;
struct governor;
struct input_budget;
struct job;
struct loop;
struct metrics;
struct permit;
struct plan_cache;
struct redis;
struct request_defaults;
struct settler;
struct storage;
struct storage_check;

/* Shared by all jobs of a worker. */
struct job_context {
    struct loop *loop;
    struct redis *redis;
    struct redis *paid;            /* for BEGIN, see report.h */
    struct durability *durability; /* see report.h */
    struct governor *governor;     /* each job has one permit, from its claim on */
    struct metrics *metrics;       /* may be NULL */
    struct lease_keeper *leases;
    struct settler *settler;
    const char *prefix;
    int64_t lease_ms;
    int max_attempts;
    struct backoff backoff; /* between attempts */
    struct picture_rules pictures;
    struct storage *storage; /* for uploads, and for images that come as bytes; NULL: this worker has none */
    const struct storage_check *storage_check;
    struct input_budget *inputs; /* memory for uploads */

    struct plan_cache *plans;
    const struct catalogue *catalogue; /* replaced on a reload, between two calls of this module */
    const struct request_defaults *defaults;
    struct ark_way ark;
    struct ark_endpoint endpoint;
    int64_t ark_first_byte_ms, ark_timeout_ms; /* for a call of one image */
    int64_t ark_timeout_per_image_ms;          /* for each further image */

    void (*on_gone)(struct job *job, void *arg);
    void *arg;
};

/* The keeper's part of a job; the rest is private. */
struct job {
    TAILQ_ENTRY(job) link;
    struct lease_entry lease;
};

/* NULL when out of memory: the permit is returned, the lease expires, and REAP puts the task back. */
struct job *job_start(const struct job_context *context, const struct claimed_job *claimed);

/* For a job that was claimed while the worker drains: the task goes back to its place in the queue, and the attempt does not count. */
struct job *job_hand_back(const struct job_context *context, const struct claimed_job *claimed);

struct job *job_destroy(struct job *job); /* accepts NULL; no callback follows; returns NULL */

void job_cancel(struct job *job); /* the client cancelled the task */
void job_lose(struct job *job);   /* the lease was lost; calls on_gone */
void job_resume(struct job *job); /* Redis is ready again */

/* For the governor's on_confirmed: whether the job of this permit was the first that found the account or model closed. */
void job_confirm(struct permit *permit, bool first);

#endif
