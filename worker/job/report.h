/* report - what one job tells Redis, in order, until Redis has taken it
 *
 * Each job has one. Its calls (BEGIN, EMIT, FINISH) are sent one after the other; events that come in the same moment as the end
 * go with it. A call whose answer was lost, or that Redis could not take at the moment, is sent again once Redis is there, which
 * is harmless: the scripts know a repeated call. So an image that ARK delivered waits here through a Redis outage.
 *
 * Ownership: the job owns its report. The texts given are copied.
 * Callbacks: never from inside the calls below, never after report_destroy; the job may destroy the report from inside of one.
 * Errors:    when memory for BEGIN or FINISH cannot be had, on_lost follows: the lease will lapse and REAP decides.
 */
#ifndef ARKRELAY_WORKER_JOB_REPORT_H
#define ARKRELAY_WORKER_JOB_REPORT_H

#include <stdint.h>

#include "common/err.h"

struct durability;
struct loop;
struct redis;
struct report;

enum begin_answer {
    BEGIN_OK,
    BEGIN_CANCELLED,
    BEGIN_NO_BUDGET,
    BEGIN_NOT_DURABLE, /* it is on record, but the confirmation that was asked for did not come */
    BEGIN_TOO_LATE,    /* it is on record, but the lease may have ended since it was sent */
};

struct report_events {
    void (*on_begun)(enum begin_answer answer, int paid_calls, void *arg);
    void (*on_cancelled)(void *arg); /* an EMIT was taken and told that the client wants the task stopped */
    void (*on_finished)(void *arg);
    void (*on_lost)(void *arg); /* the fence is not ours any more; what still waited is dropped */
};

struct report_config {
    struct loop *loop;
    struct redis *redis;
    struct redis *paid;            /* for BEGIN: a connection of its own where that must be confirmed, else the same */
    struct durability *durability; /* NULL: BEGIN is not confirmed */
    const char *prefix;            /* the partition's */
    const char *id, *fence;        /* borrowed for the report's life */
    int64_t lease_ms;              /* a BEGIN answered later than this after it was sent is too late */
    struct report_events events;
    void *arg;
};

struct report *report_create(const struct report_config *config); /* NULL when out of memory */
struct report *report_destroy(struct report *report);             /* accepts NULL; returns NULL */

/* data: the JSON of the process event that the script logs. */
void report_begin(struct report *report, const char *call_id, int images, const char *data);
int report_emit(struct report *report, const char *data,
                const char *slot) MUST_CHECK; /* ERR_NO_MEMORY: it is not said */

struct report_end {
    const char *outcome; /* "done" "failed" "cancelled" "retry" "handback" */
    const char *charge;  /* "known" "void" "unknown" "none" */
    int64_t delay_ms;
    const char *data; /* as finish.lua wants it for this outcome */
};
void report_finish(struct report *report, const struct report_end *end);

/* There is no memory for what should be said: nothing more is taken, and on_lost follows. */
void report_fail(struct report *report);

/* Redis is ready again: what waits is sent now. */
void report_resume(struct report *report);

#endif
