/* job - one task in this worker's hands: lease, attempt, one paid call
 *
 *     BEGINNING --OK--> CALLING --answer, cut, timeout, cancel--> REPORTING --taken--> GONE
 *         |                      |                                    ^
 *         |                      +-- account or model closed --> JUDGING --first: failed, else deferred
 *         +-- no call to make: cancelled, no budget, unreadable ------+          any state --lost--> GONE
 *
 * BEGINNING waits for Redis to open the paid call, CALLING for ARK (each finished slot is reported at once), JUDGING until Redis has said whether
 * another task, of any worker, has found the account or model closed before this one, REPORTING until Redis has taken the end. What the call amounts to is decided in verdict, how ARK is spoken to in ark_request and ark_answer.
 *
 * Ownership: whoever starts a job destroys it, from inside of on_gone or later. The context outlives all jobs.
 * Threads:   the loop's thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WORKER_JOB_JOB_H
#define ARKRELAY_WORKER_JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/backoff.h"
#include "worker/ark/request.h"
#include "worker/queue/lease.h"

struct claimed_job;
struct durability;
struct web;
struct governor;
struct job;
struct loop;
struct metrics;
struct permit;
struct redis;

/* What all jobs of a worker share. */
struct job_context {
    struct loop *loop;
    struct redis *redis;
    struct redis *paid;            /* for BEGIN, see report.h */
    struct durability *durability; /* see report.h */
    struct governor *governor;     /* each job holds one permit from its claim on */
    struct web *web;
    struct metrics *metrics; /* NULL: nobody counts */
    struct lease_keeper *leases;
    const char *prefix;
    int64_t lease_ms;
    int max_attempts;
    struct backoff backoff; /* between attempts */

    struct ark_defaults ark;
    const char *ark_url;                       /* of the images/generations endpoint */
    const char *authorization;                 /* the whole header line; never logged */
    const char *ark_key;                       /* "": none */
    int64_t ark_first_byte_ms, ark_timeout_ms; /* for one image */
    int64_t ark_timeout_per_image_ms, ark_end_ms;
    size_t ark_answer_max;

    void (*on_gone)(struct job *job, void *arg);
    void *arg;
};

/* What the jobs' keeper sees of one; the rest is private (job_body.h). */
struct job {
    TAILQ_ENTRY(job) link;
    struct lease_entry lease;
};

/* NULL when out of memory: the permit is returned, the lease will lapse, and REAP puts the task back. */
struct job *job_start(const struct job_context *context, const struct claimed_job *claimed);

/* For a job that came too late to be begun: it goes back to its place in the queue, and the attempt does not count. */
struct job *job_hand_back(const struct job_context *context, const struct claimed_job *claimed);

struct job *job_destroy(struct job *job); /* accepts NULL; silent; returns NULL */

void job_cancel(struct job *job); /* the client wants it stopped */
void job_lose(struct job *job);   /* the lease is not ours any more: on_gone follows from inside of this call */
void job_resume(struct job *job); /* Redis is there again */

/* For the governor's on_judged: whether the job that holds this permit was the first that found the account or model closed. */
void job_judge(struct permit *permit, bool first);

#endif
