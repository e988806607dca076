/* timeouts - many things that share one waiting time
 *
 * A queue of entries that all wait equally long, so that the order of starting is the order of ending: one libevent timer and
 * 32 bytes per entry serve any number of connections, streams or jobs, and starting one again costs O(1).
 *
 * Ownership: entries are members of their owners' structs; a zeroed entry is idle. on_timeout is called with the entry
 *            already idle; it may start it again, or free its owner.
 * Threads:   loop thread only.   Units: ms; entries end up to 10 ms late, never early.
 */
#ifndef ARKRELAY_TIMEOUTS_H
#define ARKRELAY_TIMEOUTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/macros.h"
#include "common/err.h"

struct loop;
struct timeouts;

struct timeout {
    TAILQ_ENTRY(timeout) link;
    int64_t due_ms; /* 0: idle */
};

typedef void timeout_fn(struct timeout *timeout, void *arg);

struct timeouts *timeouts_create(struct loop *loop, int64_t wait_ms, timeout_fn *on_timeout, void *arg);
struct timeouts *timeouts_destroy(struct timeouts *timeouts); /* accepts NULL; every entry is idle; returns NULL */

void timeouts_start(struct timeouts *timeouts, struct timeout *timeout);  /* from now on, also when it runs already */
void timeouts_cancel(struct timeouts *timeouts, struct timeout *timeout); /* accepts an idle one */

#endif
