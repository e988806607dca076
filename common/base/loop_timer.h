/* loop_timer - calls a function once, after a delay
 *
 * For a periodic timer the function starts the timer again, with an interval that may vary.
 *
 * Ownership: the creator destroys it, also from inside its function.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_BASE_LOOP_TIMER_H
#define ARKRELAY_BASE_LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;

typedef void loop_timer_fn(void *arg);

struct loop_timer *loop_timer_create(struct loop *loop, loop_timer_fn *fn, void *arg); /* NULL when out of memory */
struct loop_timer *loop_timer_destroy(struct loop_timer *timer);                       /* accepts NULL; returns NULL */

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms); /* restarts a timer that runs */
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_is_running(const struct loop_timer *timer);

#endif
