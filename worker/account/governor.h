/* governor - the limits and the circuit breaker of the ARK account
 *
 * All workers share one ARK account: its images per minute, its calls in flight, the pauses that ARK asks for, and the knowledge that the
 * account or a model is closed. This state is in Redis (GOVERN). The governor gets permits from there before the worker claims tasks, and
 * reports what became of each call.
 *
 * A permit is the right to have one more call in flight. It is booked with a number of images of a model. The booking is corrected when the
 * request is known, and again when the answer is known.
 *
 *     governor_ask(3) -> on_granted(2) -> CLAIM 2 -> one job: governor_take, governor_book, governor_note, governor_release
 *                                         one permit unused: governor_return(1); governor_claimed
 *
 * Reports are merged for 50 ms, except bad news, which is sent at once. They are repeated while permits are held, so that the permits of a
 * lost worker expire. The first report, each one after a lost answer, and one per quarter of the lease name all permits held; Redis then
 * drops what it counts beyond them.
 *
 * Ownership: borrows Redis. A permit is embedded in its job, which releases it before it is freed.   Threads: loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_GOVERNOR_H
#define ARKRELAY_WORKER_ACCOUNT_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/problem.h"
#include "worker/account/news.h"

struct governor;
struct loop;
struct permit;
struct probe_outcome;
struct redis;
struct scope;

struct governor_config {
    struct loop *loop;
    struct redis *redis;
    const char *worker;    /* this worker's name; borrowed */
    int64_t ttl_ms;        /* without a report for this long, the worker counts as lost */
    int64_t again_ms;      /* after an error, a report is sent again after this, or when Redis is ready again */
    int calls_max;         /* of the account; 0: no limit */
    int images_per_minute; /* of the account; 0: no limit */
    int images_per_call;   /* images booked with each permit */
    const char *model;     /* default model; borrowed */

    /* The answer to governor_ask, never from inside it. granted 0: ask again after wait_ms. */
    void (*on_granted)(int granted, int64_t wait_ms, void *arg);
    void (*on_idle)(void *arg);                     /* governor_is_idle is true now */
    void (*on_probe)(const char *model, void *arg); /* probe this model, then call governor_probed */
    /* After governor_note returned true: whether this call was the first, among all workers, that found the account or model closed. */
    void (*on_confirmed)(struct permit *permit, bool first);
    void *arg;
};

struct permit {
    struct scope *scope; /* of its model; NULL: no permit is held */
    int64_t second;      /* when it was booked, by Redis's clock */
    int images;          /* booked images */
    bool known;          /* the model and images of the task are known */
    bool trial;          /* the one trial call of a half-open model */
    bool account_trial;  /* the one trial call of the half-open account */
};

struct governor *governor_create(const struct governor_config *config); /* NULL when out of memory */
struct governor *governor_destroy(struct governor *governor);           /* accepts NULL; returns NULL */

/* One request at a time. on_granted follows when Redis has answered or the connection was lost. */
void governor_ask(struct governor *governor, int want);

void governor_return(struct governor *governor, int permits); /* that no job took */
void governor_claimed(struct governor *governor);             /* all jobs of the last grant have taken their permits */
void governor_want(struct governor *governor, const char *model); /* tasks of this restricted model are blocked */

void governor_take(struct governor *governor, struct permit *permit); /* takes one granted permit; there must be one */
void governor_book(struct governor *governor, struct permit *permit, const char *model, int images);
void governor_release(struct governor *governor, struct permit *permit); /* accepts an empty permit */

/* What a call showed of the account. */
struct call_note {
    enum account_news news;
    bool asks_first; /* the verdict depends on whether this call is the first that finds the account or model closed */
    int64_t began_ms, took_ms; /* monotonic; of the call */
    int64_t pause_ms;          /* the pause that ARK asks for; 0: none */
    int64_t until_ms;          /* wall clock: when the quota resets; 0: unknown */
    enum problem problem;
    const char *why; /* without secrets */
};
/* True: the call found the account or model closed, which this worker did not know. on_confirmed follows, unless the permit is released first. */
bool governor_note(struct governor *governor, struct permit *permit, const struct call_note *note);

void governor_probed(struct governor *governor, const struct probe_outcome *outcome);

/* The account or this model is closed: calls must wait. */
bool governor_is_blocked(const struct governor *governor, const char *model);

/* The models whose calls are restricted; at most `max`. Returns their number. */
struct model_limit {
    const char *model; /* valid until the next call of a governor function */
    int calls;
    bool trial;   /* half-open: one call may begin, to find out whether the model works again */
    bool failing; /* the last call failed, and the next one may fail too; `calls` applies too */
};
int governor_limits(const struct governor *governor, struct model_limit *out, int max);

/* Redis is ready again: send what is pending. */
void governor_resume(struct governor *governor);

/* No permit is held, and Redis knows it. */
bool governor_is_idle(const struct governor *governor);

#endif
