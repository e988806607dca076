/* waiting_hints - tell the viewers of waiting tasks their queue position, the estimated wait, and what holds the task up
 *
 * A watch is listed while it has live viewers and its task may be waiting. Every interval_ms:
 *
 *     1. HGETALL of the ARK account: are circuit breakers open, are models paused?
 *     2. one PLACES call for all listed watches, or for the next WAITING_HINTS_BATCH of them: queue positions
 *     3. a hint to the viewers of each task whose position or reason to wait has changed, or after five intervals without one
 *
 * A task that waits for a retry has no queue position: its viewers are told what holds it up, and when that has ended. The estimate
 * comes from the rate at which tasks end (queue_rate.h). While something holds a task up, no estimate is sent.
 *
 * While no watch is listed, no timer runs and no call is made.
 *
 * Ownership: belongs to the hub; borrows the entries between add and remove.
 * Threads:   loop thread only.   Units: ms.   Errors: a call that fails is repeated in the next interval.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_WAITING_HINTS_H
#define ARKRELAY_GATEWAY_STREAMS_WAITING_HINTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/task/task.h"

struct frames_waiting;
struct loop;
struct redis;
struct waiting_hints;

enum { WAITING_HINTS_BATCH = 500 };

/* The entry of one watch, and a member of it. Zeroed: not listed. */
struct waiting_hint {
    TAILQ_ENTRY(waiting_hint) link;
    int64_t position, sent_ms; /* of the last hint; position is 0 if there was none */
    uint32_t wait_digest;      /* what held the task up at the last reply (account_wait_digest) */
    uint16_t asked_index;      /* 1 + index in the PLACES call that is under way; 0: not in it */
    bool listed;
};

struct waiting_hints_config {
    struct redis *commands; /* borrowed */
    int64_t interval_ms;    /* 0: no hints */
    const char *(*id_of)(const struct waiting_hint *hint);

    /* PLACES has found the task queued, delayed, or (TASK_RUNNING) not waiting. `hint` is NULL if no hint is due. */
    void (*on_place)(struct waiting_hint *entry, enum task_state state, const struct frames_waiting *hint);
};
struct waiting_hints *waiting_hints_create(struct loop *loop,
                                           const struct waiting_hints_config *config); /* NULL: out of memory */
struct waiting_hints *
waiting_hints_destroy(struct waiting_hints *hints); /* accepts NULL; no entry is listed; returns NULL */

/* The task may be waiting. If the entry is listed already, its next hint is due at once: the watch has a new viewer. */
void waiting_hints_add(struct waiting_hints *hints, struct waiting_hint *entry);
void waiting_hints_remove(struct waiting_hints *hints, struct waiting_hint *entry); /* no-op if not listed */

#endif
