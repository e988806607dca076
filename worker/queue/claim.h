/* claim - takes tasks from the queue, without polling
 *
 *     IDLE --room--> ASKING --permits--> CLAIMING --queue is empty--> WAITING --token or timeout---------> IDLE
 *                      |                    +---- Redis failed -----> RESTING --2 s---------------------> IDLE
 *                      +---- no permits ----+---- tasks blocked ----> LIMITED --a while, or a job ended-> IDLE
 *
 * Every state ends in IDLE, which starts the next one at once if it can; the drawing leaves that out.
 *
 * IDLE: there is no room for a job, or Redis is not connected. claim_more starts again.
 * ASKING: the governor was asked for permits of the account, as many as there is room for.
 * CLAIMING: CLAIM was sent for as many jobs as there are permits. Permits that are not used go back.
 * WAITING: the queue had fewer tasks than that. BLPOP on the `wake` list, on a separate connection, waits for a new task, the time at which
 *     a delayed task is due, or two seconds. A lost token therefore costs at most two seconds.
 * RESTING: Redis answered with an error, or there is no memory. Trying again at once would not help.
 * LIMITED: tasks wait, but may not begin: the account has no permits, or the circuit breaker restricts their models. Such tasks wake no
 *     worker, so the claim looks again after a while.
 * STOPPED: from every state, by claim_stop. Nothing is claimed any more.
 *
 * Invariant: after a lost connection the claim may stay in IDLE. The worker must call claim_more each time that one of the two connections
 * is ready again (worker.c `worker_on_ready`, `worker_on_waiter_ready`), and when a job has ended.
 *
 * Example: room for 3, permits for 2, one task in the queue. CLAIM for 2 brings one job; one permit goes back; the queue is empty: WAITING. A
 * client submits a task and SUBMIT pushes a token: IDLE, and at once ASKING for 2.
 *
 * Ownership: borrows both connections. Data passed to on_job is valid during the call.
 * Threads:   loop thread only.
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
    const char *plan;               /* JSON, see plan_text.h; "": none */
    size_t request_len, plan_len;
    int attempt, max_paid_calls;
    int deferrals;    /* how often it was deferred before */
    int64_t epoch_ms; /* when the task was created; 0: unknown */
};

struct claim_config {
    struct loop *loop;
    struct redis *redis;       /* for CLAIM */
    struct redis *waiter;      /* for BLPOP only */
    struct governor *governor; /* its on_granted must call claim_granted. Each job takes over one permit */
    const char *prefix, *wake; /* the partition's; borrowed */
    const char *worker;        /* this worker's name */
    const char *model;         /* default model; borrowed */
    int64_t lease_ms;
    int max_attempts;
    int (*room)(void *arg); /* how many more jobs may run now */
    void (*on_job)(const struct claimed_job *job, void *arg);
    void (*on_stopped)(void *arg); /* after claim_stop returned false: no job follows */
    void *arg;
};

struct claim *claim_create(const struct claim_config *config); /* NULL when out of memory */
struct claim *claim_destroy(struct claim *claim);              /* accepts NULL; returns NULL */

void claim_granted(struct claim *claim, int permits, int64_t wait_ms);

void claim_more(struct claim *claim); /* see "Invariant"; calling it more often does no harm */

/* Permanently. False: a call is in flight. Its jobs are still passed to on_job, then on_stopped is called. */
bool claim_stop(struct claim *claim);

#endif
