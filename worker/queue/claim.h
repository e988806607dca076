/* claim - gets jobs from the queue, without polling
 *
 * While there is room it asks the governor for permits and runs CLAIM for as many jobs; when the queue had fewer, it blocks on
 * the `wake` list (BLPOP on a connection of its own) until a task is submitted, a retry is due or two seconds have passed, and
 * begins again. A lost wake token therefore costs two seconds at most.
 *
 *     IDLE --room--> ASKING --permits--> CLAIMING --queue had fewer--> WAITING --token or timeout--------> IDLE
 *                      |                   +---- Redis failed --------> RESTING --a while----------------> IDLE
 *                      +---- none ---------+---- tasks blocked -------> LIMITED --a while, or a job ended--> IDLE
 *
 * Ownership: borrows both connections. What it gives to on_job is valid during the call.
 * Threads:   the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_QUEUE_CLAIM_H
#define ARKRELAY_WORKER_QUEUE_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claim;
struct governor;
struct loop;
struct redis;

struct claimed_job {
    const char *id, *fence, *trace; /* trace: "" when the client gave none */
    const char *request;            /* canonical JSON */
    size_t request_len;
    int attempt, paid_calls, max_paid_calls;
    int deferrals;    /* how often it was deferred so far */
    int64_t epoch_ms; /* when the task was created; 0: not known */
};

struct claim_config {
    struct loop *loop;
    struct redis *redis;       /* for CLAIM */
    struct redis *waiter;      /* for BLPOP, and for nothing else */
    struct governor *governor; /* its answers come in by claim_granted; a job's permit goes with the job */
    const char *prefix, *wake; /* the partition's; borrowed */
    const char *worker;        /* this worker's name */
    const char *model;         /* of tasks that name none; borrowed */
    int64_t lease_ms;
    int max_attempts;
    int (*room)(void *arg); /* how many jobs may be taken now */
    void (*on_job)(const struct claimed_job *job, void *arg);
    void (*on_stopped)(void *arg); /* the last CLAIM of a stopped claim has ended */
    void *arg;
};

struct claim *claim_create(const struct claim_config *config); /* NULL when out of memory */
struct claim *claim_destroy(struct claim *claim);              /* accepts NULL; returns NULL */

void claim_granted(struct claim *claim, int permits, int64_t wait_ms);

void claim_more(struct claim *claim); /* there may be room, or Redis may be there again */

/* For good. False: a CLAIM is under way, whose jobs still come, and then on_stopped. */
bool claim_stop(struct claim *claim);

#endif
