/* loop - one thread's event loop
 *
 * A libevent base plus what every part needs from it: work for the next turn, and a way in from other threads.
 *
 * Ownership: whoever creates it destroys it, after everything that uses it.
 * Threads:   only loop_wakeup may be called from another thread.
 */
#ifndef ARKRELAY_LOOP_H
#define ARKRELAY_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct event_base;
struct loop;

typedef void loop_fn(void *arg);

struct loop *loop_create(void);               /* NULL when out of memory or descriptors */
struct loop *loop_destroy(struct loop *loop); /* accepts NULL; runs what was deferred; returns NULL */

struct event_base *loop_base(struct loop *loop);

/* Makes room for so many timers at the same time: adding one of them then needs no memory, and cannot fail. A new loop has room for
 * LOOP_TIMERS, which is enough for everything but a timer per job or client. */
enum { LOOP_TIMERS = 128 };
int loop_reserve_timers(struct loop *loop, size_t count) MUST_CHECK;

void loop_run(struct loop *loop);  /* turn after turn, until loop_stop is called from one of the loop's own callbacks */
void loop_stop(struct loop *loop); /* after the current callback; what is deferred then runs in loop_destroy */

/* One turn: what has happened, and then what was deferred. With `wait` it waits for the first thing to happen. */
void loop_turn(struct loop *loop, bool wait);

/* Runs fn(arg) at the end of the turn, in the order of the calls; from there, at the end of the next one. The place to free what is
 * still on the stack, and to do once what many callbacks asked for. Never fails: `entry` is the caller's memory, usually a
 * member of the object that is going. */
struct loop_deferred {
    struct loop_deferred *next;
    loop_fn *fn;
    void *arg;
};
void loop_defer(struct loop *loop, struct loop_deferred *entry, loop_fn *fn, void *arg);

/* Runs fn(arg) on the loop's own thread, soon. Calls may be merged: fn is told that something happened, not how often.
 * One fn per loop, set before other threads use it. Async-signal-safe and thread-safe: it is one write(2). */
int loop_on_wakeup(struct loop *loop, loop_fn *fn, void *arg) MUST_CHECK;
void loop_wakeup(struct loop *loop);

/* The first SIGTERM or SIGINT calls on_drain, each further one on_stop. SIGPIPE is ignored from here on. For one loop of the
 * process, which ends with it: from loop_destroy on they are ignored. */
int loop_on_signals(struct loop *loop, loop_fn *on_drain, loop_fn *on_stop, void *arg) MUST_CHECK;

/* Each SIGHUP calls fn(arg); several that come at once may be merged. For the loop that hears the signals above, and as long. */
int loop_on_reload(struct loop *loop, loop_fn *fn, void *arg) MUST_CHECK;

#endif
