/* reserver - reserves the most that tasks can cost before SUBMIT creates them (script RESERVE), and releases what no task uses (CHARGE)
 *
 * One RESERVE is in flight at a time. Requests that come meanwhile go together with the next one, so a busy gateway needs few commands per task, and
 * an idle one waits for nothing.
 *
 * A reservation that is not settled, because this process ended or Redis was away, is free again after the next audit
 * (common/task/settler.h).
 *
 * Ownership: a request is a member of its caller's object, with the texts that it points to, until on_reserved or reserver_withdraw. Nothing else
 *            is kept of it.
 * Callbacks: on_reserved once, from the loop, never from inside reserver_ask, and not after reserver_destroy. It may ask again, and free the
 *            request.
 * Threads:   loop thread only.   Units: micro-units, ms.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_RESERVER_H
#define ARKRELAY_GATEWAY_TASKS_RESERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/err.h"
#include "gateway/response/spending.h"

enum { RESERVATION_BYTES = 12, RESERVATION_SIZE = 2 * RESERVATION_BYTES + 1, RESERVE_TASKS_MAX = 10 };

struct redis;
struct reserver;

/* What a submission needs of the ledger. */
struct money_terms {
    char reservation[RESERVATION_SIZE]; /* "": the ledger does not count this task */
    bool unpriced;                      /* a limit applies, and the price is not known: no such task is created */
    int64_t micros; /* the most that the task can cost; 0: no limit applies, and nothing is reserved */
    char currency[SPENDING_CURRENCY_SIZE];
    int64_t limit[CAP_COUNT]; /* 0: none */
};

enum reserve_outcome { RESERVE_OK, RESERVE_REFUSED, RESERVE_FAILED };

struct reserve_answer {
    enum reserve_outcome outcome;
    int err;          /* for FAILED: 0 if Redis has answered */
    int64_t until_ms; /* for OK: until when SUBMIT may use the reservations, in Redis time */
    struct spending spending;
};

struct reserve_task {
    const char *full_id, *reservation;
};

/* Tasks of one client with equal terms: all of them get a reservation, or none. Zeroed at first. */
struct reserve_request {
    const struct money_terms *terms;
    struct reserve_task tasks[RESERVE_TASKS_MAX];
    size_t count;
    void (*on_reserved)(const struct reserve_answer *answer, void *arg);
    void *arg;
    bool is_waiting; /* private, as what follows */
    TAILQ_ENTRY(reserve_request) link;
};

struct reserver *reserver_create(struct redis *redis);        /* NULL when out of memory */
struct reserver *reserver_destroy(struct reserver *reserver); /* accepts NULL; returns NULL */

/* As script_run. */
int reserver_ask(struct reserver *reserver, struct reserve_request *request) MUST_CHECK;

/* True if the request still waited: nothing was sent, and on_reserved does not follow. */
bool reserver_withdraw(struct reserver *reserver, struct reserve_request *request);

/* No task uses these reservations. Not repeated if it fails: the audit frees them. */
void reserver_release(struct reserver *reserver, const struct reserve_task *tasks, size_t count);

#endif
