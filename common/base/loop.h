/* loop - one thread's event loop
 *
 * A libevent base with what libevent 2.1 lacks: deferred calls at the end of a turn, wakeups from other threads, timers that cannot
 * fail when memory runs out, and signal handlers that stay safe during shutdown.
 *
 * Ownership: destroy it after everything that uses it.
 * Threads:   the loop's own thread only, except loop_wakeup.
 */
#ifndef ARKRELAY_BASE_LOOP_H
#define ARKRELAY_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct event_base;
struct loop;

typedef void loop_fn(void *arg);

struct loop *loop_create(void);               /* NULL when out of memory or descriptors */
struct loop *loop_destroy(struct loop *loop); /* accepts NULL; runs all deferred calls; returns NULL */

struct event_base *loop_base(struct loop *loop);

/* Allocates room for `count` timers pending at the same time. Adding a timer within that room needs no memory and cannot fail.
 * loop_create reserves LOOP_TIMERS, enough for everything except a timer per job or client. */
enum { LOOP_TIMERS = 128 };
int loop_reserve_timers(struct loop *loop, size_t count) MUST_CHECK;

void loop_run(struct loop *loop); /* runs turns until a callback of this loop calls loop_stop */
void loop_stop(
    struct loop *loop); /* stops after the current callback; loop_destroy runs the remaining deferred calls */

/* Runs one turn: the callbacks of all pending events, then the deferred calls. With `wait` it blocks until an event occurs. */
void loop_turn(struct loop *loop, bool wait);

/* Calls fn(arg) at the end of the current turn, in the order of the calls; a call deferred by a deferred call runs at the end of the
 * next turn. Use it to free an object under its own callback, or to do once what several callbacks asked for.
 * Never fails: `entry` is the caller's memory, usually a member of the object. It must stay valid, and must not be deferred again,
 * until fn is called; fn may free it. */
struct loop_deferred {
    struct loop_deferred *next;
    loop_fn *fn;
    void *arg;
};
void loop_defer(struct loop *loop, struct loop_deferred *entry, loop_fn *fn, void *arg);

/* loop_wakeup makes the loop's thread call fn(arg). Several wakeups may be merged into one call.
 * One fn per loop, set before another thread calls loop_wakeup. loop_wakeup is thread-safe and async-signal-safe: one write(2). */
int loop_on_wakeup(struct loop *loop, loop_fn *fn, void *arg) MUST_CHECK;
void loop_wakeup(struct loop *loop);

/* The first SIGTERM or SIGINT calls on_drain, every later one on_stop. SIGPIPE is ignored from this call on.
 * For one loop per process, whose end is the end of the process: after loop_destroy these signals are ignored. */
int loop_on_signals(struct loop *loop, loop_fn *on_drain, loop_fn *on_stop, void *arg) MUST_CHECK;

/* SIGHUP calls fn(arg); several that arrive at once may be merged. Same loop and lifetime as loop_on_signals. */
int loop_on_reload(struct loop *loop, loop_fn *fn, void *arg) MUST_CHECK;

#endif
