/* history - a task's log, as Redis tells it
 *
 * SUBMIT and READ both answer with it. It points into the reply: valid during the callback only.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_HISTORY_H
#define ARKRELAY_GATEWAY_STREAMS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/client.h"
#include "common/task.h"
#include "common/task_event.h"

struct history {
    int64_t epoch;
    enum task_state state;
    int64_t length; /* number of the log's last event */
    int64_t from;   /* number of the first element here */
    size_t skipped; /* elements before it, which do not count */
    bool deferred;  /* the task was deferred before: the log does not tell of every deferral and call */
    const redisReply *elements;
};

/* Of a SUBMIT that answered NEW or SAME. ERR_SYNTAX when the answer has another shape. */
int history_of_submit(const redisReply *reply, struct history *out) MUST_CHECK;

/* The same without the events up to number n, which is one of it, or `from` - 1. */
struct history history_after(const struct history *history, int64_t n);

size_t history_count(const struct history *history);

/* The event at `index`, counted from 0; its number is from + index. ERR_SYNTAX when the store holds something else there. */
int history_event(const struct history *history, size_t index, struct task_event *out) MUST_CHECK;

/* err is 0, ERR_NOT_FOUND (there is no such task), or why Redis did not tell; history is NULL after an error. */
typedef void history_fn(const struct history *history, int err, void *arg);

struct history_call;

/* Reads from element `from` on. On success `done` follows exactly once, unless it is cancelled: then never. */
int history_read(struct redis *redis, const char *full_id, int64_t from, history_fn *done, void *arg,
                 struct history_call **call) MUST_CHECK;
void history_cancel(struct history_call *call); /* accepts NULL */

#endif
