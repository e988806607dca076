/* history - a task's log, as Redis tells it
 *
 * SUBMIT and READ both answer with it. It points into the reply: valid during the callback only.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_EVENT_LOG_H
#define ARKRELAY_GATEWAY_TASKS_EVENT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "common/redis/client.h"
#include "common/task.h"
#include "common/task_event.h"

struct event_log {
    int64_t epoch;
    enum task_state state;
    int64_t length; /* number of the log's last event */
    int64_t from;   /* number of the first element here */
    size_t skipped; /* elements before it, which do not count */
    const redisReply *elements;
};

/* Of a SUBMIT that answered NEW or SAME. ERR_SYNTAX when the answer has another shape. */
int event_log_from_submit(const redisReply *reply, struct event_log *out) MUST_CHECK;

/* The same without the events up to number n, which is one of it, or `from` - 1. */
struct event_log event_log_after(const struct event_log *log, int64_t n);

size_t event_log_count(const struct event_log *log);

/* The event at `index`, counted from 0; its number is from + index. ERR_SYNTAX when the store holds something else there. */
int event_log_event(const struct event_log *log, size_t index, struct task_event *out) MUST_CHECK;

/* err is 0, ERR_NOT_FOUND (there is no such task), or why Redis did not tell; history is NULL after an error. */
typedef void event_log_fn(const struct event_log *log, int err, void *arg);

struct event_log_call;

/* Reads from element `from` on. On success `done` follows exactly once, unless it is cancelled: then never. */
int event_log_read(struct redis *redis, const char *full_id, int64_t from, event_log_fn *done, void *arg,
                   struct event_log_call **call) MUST_CHECK;
void event_log_cancel(struct event_log_call *call); /* accepts NULL */

#endif
