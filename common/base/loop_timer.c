#include "common/base/loop_timer.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "common/base/loop.h"
#include "common/base/timeval.h"

struct loop_timer {
    struct event event;
    loop_timer_fn *fn;
    void *arg;
};

/* `timer` may be freed inside fn. */
static void loop_timer_on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *timer = arg;

    (void)fd;
    (void)what;
    timer->fn(timer->arg);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_timer_fn *fn, void *arg)
{
    struct loop_timer *timer = calloc(1, sizeof(*timer));

    if (!timer)
        return NULL;
    timer->fn = fn;
    timer->arg = arg;
    (void)evtimer_assign(&timer->event, loop_base(loop), loop_timer_on_timeout,
                         timer); /* fails only for bad arguments */
    return timer;
}

struct loop_timer *loop_timer_destroy(struct loop_timer *timer)
{
    if (!timer)
        return NULL;
    evtimer_del(&timer->event);
    free(timer);
    return NULL;
}

/* Cannot fail: the loop has memory for its timers (loop_reserve_timers). */
void loop_timer_start(struct loop_timer *timer, int64_t delay_ms)
{
    const struct timeval delay = timeval_of_ms(delay_ms);

    evtimer_add(&timer->event, &delay);
}

void loop_timer_stop(struct loop_timer *timer)
{
    evtimer_del(&timer->event);
}

bool loop_timer_is_running(const struct loop_timer *timer)
{
    return evtimer_pending(&timer->event, NULL);
}
