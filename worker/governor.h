/* governor - the ARK account's limits, as this worker keeps them
 *
 * All workers share one account: its images per minute, its calls in flight, and the pauses that ARK asks for when it has too much to
 * do. Redis keeps the books (GOVERN); this is where the worker gets permits before it claims jobs, and reports what became of
 * them. A permit is the right to have one more call in flight, and reckons with a number of images; what a call then brings more or
 * less is settled with the next report.
 *
 *     ask -> granted n -> claim up to n jobs -> return what was not needed
 *                                            -> each job: reckon its images, settle them at its end, release the permit
 *
 * Reports are merged for a moment and repeated while permits are out, so that a lost worker's permits become free.
 *
 * Ownership: borrows Redis.   Threads: the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_GOVERNOR_H
#define ARKRELAY_WORKER_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

struct governor;
struct loop;
struct redis;

struct governor_config {
    struct loop *loop;
    struct redis *redis;
    const char *worker;    /* this worker's name; borrowed */
    int64_t ttl_ms;        /* after this without a report the worker counts as lost */
    int64_t again_ms;      /* what Redis did not take is said again after this, or when it is there again */
    int calls_max;         /* of the account; 0: no limit */
    int images_per_minute; /* of the account; 0: no limit */
    int images_per_call;   /* what a permit reckons with */

    /* The answer to governor_ask: with 0, ask again after wait_ms. Never from inside of it. */
    void (*on_granted)(int granted, int64_t wait_ms, void *arg);
    void (*on_settled)(void *arg); /* governor_is_settled has become true */
    void *arg;
};

struct governor *governor_create(const struct governor_config *config); /* NULL when out of memory */
struct governor *governor_destroy(struct governor *governor);           /* accepts NULL; returns NULL */

/* One question at a time: on_granted follows, when Redis has answered or was lost. */
void governor_ask(struct governor *governor, int want);

void governor_return(struct governor *governor, int permits); /* for which there was no job */
void governor_release(struct governor *governor);             /* a job is gone */
int governor_images_per_call(const struct governor *governor);
void governor_settle(struct governor *governor, int images); /* more than reckoned with so far; below 0: fewer */

enum govern_event { GOVERN_NOTHING, GOVERN_OK, GOVERN_REFUSED };

/* ARK took a call, or has too much to do: then nobody starts another for pause_ms. */
void governor_tell(struct governor *governor, enum govern_event event, int64_t pause_ms);

/* Redis is ready again: what waits is said now. */
void governor_resume(struct governor *governor);

/* No permit is out, and Redis knows it. */
bool governor_is_settled(const struct governor *governor);

#endif
