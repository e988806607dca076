/* poll - a minimal epoll loop, so that the generator uses little CPU time compared with the measured programs
 *
 * A watch is embedded in the struct that owns its descriptor. A callback may close its own descriptor and open new ones. It must not close
 * the descriptor of another watch.
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
    int64_t wake_ns;            /* latest time of the next turn; 0: none */
    int64_t now_ns;             /* start of the current turn */
    void (*on_turn)(void *arg); /* called after each turn, at least every 50 ms; may be NULL */
    void *arg;
};

int64_t clock_ns(void); /* monotonic */

int poll_init(struct poll *poll) MUST_CHECK;
void poll_deinit(struct poll *poll);
int poll_add(struct poll *poll, struct watch *watch, uint32_t events) MUST_CHECK;
int poll_change(struct poll *poll, struct watch *watch, uint32_t events) MUST_CHECK;
void watch_close(struct watch *watch); /* accepts a closed one */

/* Runs until poll->stopped or this time. */
void poll_run(struct poll *poll, int64_t until_ns);

#endif
