/* poll - an epoll loop, as small as one can be, so that the generator costs little beside what it measures
 *
 * A watch is embedded in whatever waits for its descriptor. Its callback may close that descriptor and open a new one, and may
 * open others; it closes nobody else's.
 *
 * Ownership: watches are borrowed while they are in the loop.   Threads: one.
 */
#ifndef ARKRELAY_BENCH_POLL_H
#define ARKRELAY_BENCH_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct watch {
    int fd; /* -1: closed */
    void (*on_ready)(struct watch *watch, uint32_t events);
};

struct poll {
    int fd;
    bool stopped;
    int64_t wake_ns;            /* when the next turn has to come at the latest; 0: no matter */
    int64_t now_ns;             /* when the callbacks that run now were woken */
    void (*on_turn)(void *arg); /* after each turn, 50 ms at most after the last one; may be NULL */
    void *arg;
};

int64_t clock_ns(void); /* monotonic */

int poll_init(struct poll *poll) MUST_CHECK;
void poll_deinit(struct poll *poll);
int poll_add(struct poll *poll, struct watch *watch, uint32_t events) MUST_CHECK;
int poll_change(struct poll *poll, struct watch *watch, uint32_t events) MUST_CHECK;
void watch_close(struct watch *watch); /* accepts a closed one */

/* Until poll->stopped or this point in time. */
void poll_run(struct poll *poll, int64_t until_ns);

#endif
