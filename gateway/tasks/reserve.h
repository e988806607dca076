/* reserve - reserves the most that tasks can cost before SUBMIT creates them (script RESERVE), and settles what no task uses (CHARGE)
 *
 * A reservation that is not settled, because this process ended or Redis was away, is free again after the next audit
 * (common/task/settler.h).
 *
 * Ownership: nothing is kept of a request but its texts, which are copied.
 * Threads:   loop thread only.   Units: micro-units, ms.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_RESERVE_H
#define ARKRELAY_GATEWAY_TASKS_RESERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/redis/script.h"
#include "gateway/response/spending.h"

enum { RESERVATION_BYTES = 12, RESERVATION_SIZE = 2 * RESERVATION_BYTES + 1, RESERVE_TASKS_MAX = 10 };

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
    int64_t until_ms; /* for OK: until when SUBMIT may use the reservations, in Redis time */
    struct spending spending;
};

/* Reads the reply of RESERVE. reply: NULL after an error. */
struct reserve_answer reserve_read(const redisReply *reply, const struct money_terms *terms);

struct reserve_task {
    const char *full_id, *reservation;
};

/* Sends RESERVE for tasks with equal terms; `done` is called as by script_run. */
int reserve_send(struct redis *redis, const struct money_terms *terms, const struct reserve_task *tasks, size_t count,
                 redis_reply_fn *done, void *arg, struct script_run **run) MUST_CHECK;

/* No task uses these reservations. Not repeated if it fails: the audit frees them. */
void reserve_release(struct redis *redis, const struct reserve_task *tasks, size_t count);

#endif
