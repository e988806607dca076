/* report - one job's messages to Redis, delivered in order
 *
 * Each job has one report: a queue of the script calls BEGIN, EMIT and FINISH. One call is in flight at a time. A call that failed, or
 * whose answer was lost, is sent again when Redis is ready. The scripts recognize a repeated call, so this is safe. An image that ARK
 * delivered during an outage of Redis waits here.
 *
 * EMITs that are queued immediately before a FINISH are sent as part of it. For a task of one image, whose slot and end are known at the
 * same time, this saves a round trip:
 *
 *     queued: EMIT 1, EMIT 2, FINISH    sent: FINISH id fence outcome charge delay data {1 data slot} {2 data slot}
 *
 * Ownership: the job owns its report. All texts are copied.
 * Callbacks: never from inside the functions below, never after report_destroy. The job may destroy the report from inside a callback.
 * Errors:    a message that cannot be queued, for example when out of memory, leads to on_failed. The lease expires, and REAP decides.
 */
#ifndef ARKRELAY_WORKER_JOB_REPORT_H
#define ARKRELAY_WORKER_JOB_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "worker/ark/verdict.h"

struct durability;
struct loop;
struct redis;
struct report;

enum begin_answer {
    BEGIN_OK,
    BEGIN_CANCELLED,
    BEGIN_NO_BUDGET,
    BEGIN_NOT_DURABLE, /* recorded, but Redis did not confirm that the record is on disk or at a replica */
    BEGIN_TOO_LATE,    /* recorded, but the lease may have expired since BEGIN was sent */
};

struct report_events {
    void (*on_begun)(enum begin_answer answer, int paid_calls, void *arg);
    void (*on_cancelled)(void *arg);           /* the answer to an EMIT says that the client cancelled the task */
    void (*on_finished)(bool owes, void *arg); /* owes: the task has ended with a debt (common/task/settler.h) */
    void (*on_lease_lost)(void *arg); /* the answer LOST: REAP or another worker has the task; the queue was dropped */
    void (*on_failed)(int err,
                      void *arg); /* after report_fail, also if the report itself called it; the queue was dropped */
};

struct report_config {
    struct loop *loop;
    struct redis *redis;
    struct redis *paid;            /* for BEGIN: a separate connection if BEGIN must be confirmed, else the same one */
    struct durability *durability; /* NULL: BEGIN is not confirmed */
    const char *prefix;            /* the partition's */
    const char *id, *fence;        /* borrowed for the report's life */
    int64_t lease_ms;              /* BEGIN_TOO_LATE if the answer takes longer */
    struct report_events events;
    void *arg;
};

struct report *report_create(const struct report_config *config); /* NULL when out of memory */
struct report *report_destroy(struct report *report);             /* accepts NULL; returns NULL */

/* data: the JSON of the process event that the script appends to the task's log. */
void report_begin(struct report *report, const char *call_id, int images, const char *data);
int report_emit(struct report *report, const char *data) MUST_CHECK; /* ERR_NO_MEMORY: not queued */

struct report_end {
    enum verdict_action action;
    enum charge charge;
    int64_t delay_ms;        /* of RETRY and DEFER */
    const char *data, *cost; /* see finish.lua */
};
void report_finish(struct report *report, const struct report_end *end);

/* A message is missing, because of `err`: the report accepts no more messages, and on_failed follows after a while. What was queued
 * before is still sent. */
void report_fail(struct report *report, int err);

/* Redis is ready again: send what is queued. */
void report_resume(struct report *report);

#endif
