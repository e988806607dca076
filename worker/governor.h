/* governor - the ARK account's limits and circuit breaker, as this worker sees them
 *
 * All workers share one account: its images per minute, its calls in flight, what ARK refused for load, and whether ARK, the account or a model
 * is closed at the moment. Redis holds the books (GOVERN); the governor gets permits there before the worker claims jobs, and reports what
 * became of each call. A permit is the right to have one more call in flight. It is booked with a number of images of a model and corrected once
 * the request, and then the answer, are known.
 *
 *     ask -> granted n -> claim up to n jobs of the models that may begin -> governor_claimed
 *         -> each job: take, book, note (what the call came to), release
 *
 * Reports are merged for 50 ms and repeated while permits are out, so that a lost worker's permits become free. Bad news is sent at once. The
 * first report, each one after a lost answer, and one in a while name all permits: Redis then drops what it counts beyond them.
 *
 * Ownership: borrows Redis. A permit is its job's, and released before the job goes.   Threads: the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_GOVERNOR_H
#define ARKRELAY_WORKER_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/problem.h"
#include "worker/account_news.h"

struct governor;
struct loop;
struct permit;
struct redis;
struct scope;

struct governor_config {
    struct loop *loop;
    struct redis *redis;
    const char *worker;    /* this worker's name; borrowed */
    int64_t ttl_ms;        /* after this without a report the worker counts as lost */
    int64_t again_ms;      /* what Redis did not take is said again after this, or when it is there again */
    int calls_max;         /* of the account; 0: no limit */
    int images_per_minute; /* of the account; 0: no limit */
    int images_per_call;   /* what a permit is booked with */
    const char *model;     /* of tasks that name none; borrowed */

    /* The answer to governor_ask: with 0, ask again after wait_ms. Never from inside of it. */
    void (*on_granted)(int granted, int64_t wait_ms, void *arg);
    void (*on_settled)(void *arg); /* governor_is_settled has become true */
    void (*on_probe)(const char *model,
                     void *arg); /* find out whether ARK answers for this model; governor_probed follows */
    /* After governor_note returned true: whether this call was the first, of all workers, that found the account or model closed. */
    void (*on_judged)(struct permit *permit, bool first);
    void *arg;
};

struct permit {
    struct scope *scope; /* of its model; NULL: none is held */
    int64_t second;      /* of the booking, by Redis's clock */
    int images;          /* booked */
    bool known;          /* the task's model and images are */
    bool trial;          /* the one call of a half-open model, */
    bool account_trial;  /* or account: its end without evidence is reported too */
};

struct governor *governor_create(const struct governor_config *config); /* NULL when out of memory */
struct governor *governor_destroy(struct governor *governor);           /* accepts NULL; returns NULL */

/* One question at a time: on_granted follows, when Redis has answered or was lost. */
void governor_ask(struct governor *governor, int want);

void governor_return(struct governor *governor, int permits); /* for which there was no job */
void governor_claimed(struct governor *governor); /* the last grant is used: what no job took is given back */
void governor_want(struct governor *governor, const char *model); /* tasks of this restricted model wait */

void governor_take(struct governor *governor, struct permit *permit); /* one of those granted; there is one */
void governor_book(struct governor *governor, struct permit *permit, const char *model, int images);
void governor_release(struct governor *governor, struct permit *permit); /* the job is gone; accepts an empty permit */

struct call_report {
    enum account_news news;
    bool asks_first;           /* it matters whether this call is the first that finds the account or model closed */
    int64_t began_ms, took_ms; /* monotonic; of the call */
    int64_t pause_ms;          /* ARK asked for this much; 0: it did not */
    int64_t until_ms;          /* wall clock: when the quota begins again; 0: not known */
    enum problem problem;
    const char *why; /* without secrets */
};
/* True: the call found the account or model closed, and this worker did not know it; on_judged follows, unless the permit is released before. */
bool governor_note(struct governor *governor, struct permit *permit, const struct call_report *report);

/* What on_probe asked for. */
struct probe_report {
    const char *model;
    bool account_good;    /* ARK answered, and takes the key, */
    bool model_good;      /* and the model */
    enum problem problem; /* otherwise */
    const char *why;      /* without secrets */
};
void governor_probed(struct governor *governor, const struct probe_report *report);

/* The account, or this model, is known to be closed: calls are deferred. */
bool governor_is_closed(const struct governor *governor, const char *model);

/* The models that are not free of restrictions, with the number of calls that may begin; up to `max`. Returns how many. */
struct model_limit {
    const char *model; /* valid until the next call of the governor */
    int calls;
    bool trial;   /* half-open: the call is to tell whether the model works again */
    bool failing; /* the last call failed, and the next one may fail as well */
};
int governor_limits(const struct governor *governor, struct model_limit *out, int max);

/* Redis is ready again: what waits is said now. */
void governor_resume(struct governor *governor);

/* No permit is out, and Redis knows it. */
bool governor_is_settled(const struct governor *governor);

#endif
