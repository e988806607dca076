#include "common/base/timeouts.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/loop_timer.h"

TAILQ_HEAD(timeout_list, timeout);

struct timeouts {
    struct timeout_list waiting; /* the first to expire comes first */
    struct loop_timer *timer;    /* pending while the list is not empty */
    int64_t wait_ms;
    timeout_fn *on_timeout;
    void *arg;
};

/* Restarting an entry does not touch the timer. The timer may therefore fire too early; it is then armed again for the rest. */
static void arm(struct timeouts *timeouts, int64_t now_ms)
{
    const struct timeout *first = TAILQ_FIRST(&timeouts->waiting);

    loop_timer_start(timeouts->timer, first->due_ms > now_ms ? first->due_ms - now_ms : 0);
}

static void timeouts_on_timer(void *arg)
{
    struct timeouts *timeouts = arg;
    int64_t now_ms = clock_monotonic_ms();
    struct timeout *first;

    while ((first = TAILQ_FIRST(&timeouts->waiting)) && first->due_ms <= now_ms) {
        timeouts_cancel(timeouts, first);
        timeouts->on_timeout(first, timeouts->arg);
    }
    if (first)
        arm(timeouts, now_ms);
}

struct timeouts *timeouts_create(struct loop *loop, int64_t wait_ms, timeout_fn *on_timeout, void *arg)
{
    struct timeouts *timeouts = calloc(1, sizeof(*timeouts));

    if (!timeouts)
        return NULL;
    TAILQ_INIT(&timeouts->waiting);
    timeouts->wait_ms = wait_ms;
    timeouts->on_timeout = on_timeout;
    timeouts->arg = arg;
    timeouts->timer = loop_timer_create(loop, timeouts_on_timer, timeouts);
    return timeouts->timer ? timeouts : timeouts_destroy(timeouts);
}

struct timeouts *timeouts_destroy(struct timeouts *timeouts)
{
    if (!timeouts)
        return NULL;
    assert(TAILQ_EMPTY(&timeouts->waiting));
    loop_timer_destroy(timeouts->timer);
    free(timeouts);
    return NULL;
}

void timeouts_start(struct timeouts *timeouts, struct timeout *timeout)
{
    int64_t now_ms = clock_monotonic_ms();

    timeouts_cancel(timeouts, timeout);
    timeout->due_ms = now_ms + timeouts->wait_ms;
    TAILQ_INSERT_TAIL(&timeouts->waiting, timeout, link);
    if (!loop_timer_is_running(timeouts->timer))
        arm(timeouts, now_ms);
}

void timeouts_cancel(struct timeouts *timeouts, struct timeout *timeout)
{
    if (!timeout->due_ms)
        return;
    TAILQ_REMOVE(&timeouts->waiting, timeout, link);
    timeout->due_ms = 0;
}
