/* event_log - a part of a task's event log, as the scripts SUBMIT and READ return it
 *
 * It points into the Redis reply: valid during the callback only.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_EVENT_LOG_H
#define ARKRELAY_GATEWAY_TASKS_EVENT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/client.h"
#include "common/task/task.h"
#include "common/task/task_event.h"

struct event_log {
    int64_t epoch;
    enum task_state state;
    int64_t length; /* number of the last event of the whole log */
    int64_t from;   /* number of the first event in this part */
    bool deferred;  /* the task was put back into the queue, which the log does not always record */
    size_t skipped; /* leading elements of the reply that are not in this part */
    const redisReply *elements;
};

/* From the SUBMIT replies NEW and SAME. ERR_SYNTAX: the reply has another shape. */
int event_log_from_submit(const redisReply *reply, struct event_log *out) MUST_CHECK;

/* The part after event n. n is an event of `log`, or from - 1. */
struct event_log event_log_after(const struct event_log *log, int64_t n);

size_t event_log_count(const struct event_log *log);

/* The event at `index`, counted from 0; its number is from + index. ERR_SYNTAX: the element is not that event. */
int event_log_event(const struct event_log *log, size_t index, struct task_event *out) MUST_CHECK;

/* err is 0, ERR_NOT_FOUND (no such task) or the reason of the failure; `log` is NULL on error. */
typedef void event_log_fn(const struct event_log *log, int err, void *arg);

struct event_log_call;

/* Reads the events from number `from` on. On success `done` is called exactly once, unless event_log_cancel is called first. */
int event_log_read(struct redis *redis, const char *full_id, int64_t from, event_log_fn *done, void *arg,
                   struct event_log_call **call) MUST_CHECK;
void event_log_cancel(struct event_log_call *call); /* accepts NULL */

#endif
