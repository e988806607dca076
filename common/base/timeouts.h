/* timeouts - a timer queue for many entries with the same delay
 *
 * All entries wait equally long, so they expire in the order in which they were started. One libevent timer and 32 bytes per entry
 * serve any number of connections, streams or jobs. Starting and restarting an entry is O(1).
 *
 * Ownership: an entry is a member of its owner's struct; a zeroed entry is idle. on_timeout gets the entry when it is already
 *            idle; the callback may start it again, or free its owner.
 * Threads:   loop thread only.   Units: ms; an entry expires up to 10 ms late, never early.
 */
#ifndef ARKRELAY_BASE_TIMEOUTS_H
#define ARKRELAY_BASE_TIMEOUTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/err.h"
#include "common/base/macros.h"

struct loop;
struct timeouts;

struct timeout {
    TAILQ_ENTRY(timeout) link;
    int64_t due_ms; /* 0: idle */
};

typedef void timeout_fn(struct timeout *timeout, void *arg);

struct timeouts *timeouts_create(struct loop *loop, int64_t wait_ms, timeout_fn *on_timeout, void *arg);
struct timeouts *timeouts_destroy(struct timeouts *timeouts); /* accepts NULL; every entry must be idle; returns NULL */

void timeouts_start(struct timeouts *timeouts, struct timeout *timeout);  /* restarts a running entry */
void timeouts_cancel(struct timeouts *timeouts, struct timeout *timeout); /* no-op if it is idle */

#endif
