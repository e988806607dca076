#include "common/base/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SIGNALS = 2 };

struct loop {
    struct event_base *base;

    bool stopped;

    struct loop_deferred *deferred, **deferred_end;

    int wakeup_fd; /* -1 until loop_on_wakeup */
    struct event *wakeup;
    loop_fn *on_wakeup;
    void *wakeup_arg;

    struct event *signals[SIGNALS];
    int signals_seen;
    loop_fn *on_drain, *on_stop;
    void *signal_arg;

    struct event *hangup; /* NULL until loop_on_reload */
    loop_fn *on_reload;
    void *reload_arg;
};

/* Detaches the whole list first. Calls deferred during the run belong to the next turn, so a call that defers itself again and again
 * does not starve the sockets. */
static void run_deferred(struct loop *loop)
{
    struct loop_deferred *entry = loop->deferred;

    loop->deferred = NULL;
    loop->deferred_end = &loop->deferred;
    while (entry) {
        struct loop_deferred *next = entry->next; /* fn may free the entry */

        entry->fn(entry->arg);
        entry = next;
    }
}

/* Requires edge-triggered events: if epoll cannot be set up, libevent would silently fall back to a method without them. */
static struct event_base *create_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config && !event_config_require_features(config, EV_FEATURE_ET))
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (!loop)
        return NULL;
    loop->wakeup_fd = -1;
    loop->deferred_end = &loop->deferred;
    loop->base = create_base();
    if (!loop->base || loop_reserve_timers(loop, LOOP_TIMERS))
        return loop_destroy(loop);
    return loop;
}

static void ignore_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* libevent's timer heap never shrinks, so adding and deleting `count` timers reserves their room. */
int loop_reserve_timers(struct loop *loop, size_t count)
{
    static const struct timeval later = {3600, 0};
    size_t size = event_get_struct_event_size(), added = 0;
    char *events = calloc(count, size);

    while (events && added < count) {
        struct event *event = (struct event *)(void *)(events + added * size);

        if (evtimer_assign(event, loop->base, ignore_timer, NULL) || evtimer_add(event, &later))
            break;
        added++;
    }
    for (size_t i = 0; i < added; i++)
        evtimer_del((struct event *)(void *)(events + i * size));
    free(events);
    return added == count ? 0 : ERR_NO_MEMORY;
}

/* event_free restores the default action, which would kill the process. The process is already shutting down, and a late signal must
 * not change its exit status. Blocking the signal covers the moment between event_free and SIG_IGN. */
static void free_signal(struct event *event)
{
    sigset_t held, before;
    int number;

    if (!event)
        return;
    number = event_get_signal(event);
    sigemptyset(&held);
    sigaddset(&held, number);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    event_free(event);
    (void)signal(number, SIG_IGN);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct loop *loop_destroy(struct loop *loop)
{
    if (!loop)
        return NULL;
    while (loop->deferred)
        run_deferred(loop);
    for (int i = 0; i < SIGNALS; i++)
        free_signal(loop->signals[i]);
    free_signal(loop->hangup);
    if (loop->wakeup)
        event_free(loop->wakeup);
    if (loop->wakeup_fd >= 0)
        close(loop->wakeup_fd);
    if (loop->base) {
        /* libevent frees a bufferevent, or a cancelled DNS lookup, in a later callback of its own. */
        do
            loop_turn(loop, false);
        while (loop->deferred);
        event_base_free(loop->base);
    }
    free(loop);
    return NULL;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

/* Deferred calls run here and not in libevent: its only way to run code after all callbacks of a turn is a zero timer, which costs
 * another epoll_wait. */
void loop_turn(struct loop *loop, bool wait)
{
    int how = wait && !loop->deferred ? EVLOOP_ONCE : EVLOOP_NONBLOCK;

    loop->stopped = false;
    (void)event_base_loop(loop->base, how | EVLOOP_NO_EXIT_ON_EMPTY);
    if (!loop->stopped)
        run_deferred(loop);
}

void loop_run(struct loop *loop)
{
    do
        loop_turn(loop, true);
    while (!loop->stopped);
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
    (void)event_base_loopbreak(loop->base);
}

void loop_defer(struct loop *loop, struct loop_deferred *entry, loop_fn *fn, void *arg)
{
    *entry = (struct loop_deferred){.fn = fn, .arg = arg};
    *loop->deferred_end = entry;
    loop->deferred_end = &entry->next;
}

static void loop_wakeup_fired(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
        loop->on_wakeup(loop->wakeup_arg);
}

int loop_on_wakeup(struct loop *loop, loop_fn *fn, void *arg)
{
    loop->on_wakeup = fn;
    loop->wakeup_arg = arg;
    loop->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wakeup_fd < 0)
        return ERR_SYSTEM;
    loop->wakeup = event_new(loop->base, loop->wakeup_fd, EV_READ | EV_PERSIST, loop_wakeup_fired, loop);
    return loop->wakeup && !event_add(loop->wakeup, NULL) ? 0 : ERR_NO_MEMORY;
}

void loop_wakeup(struct loop *loop)
{
    uint64_t one = 1;

    /* Fails only if the counter is full; the loop is about to wake up then. */
    if (write(loop->wakeup_fd, &one, sizeof(one)) < 0)
        return;
}

static void loop_signal_fired(evutil_socket_t number, short what, void *arg)
{
    struct loop *loop = arg;

    (void)number;
    (void)what;
    if (loop->signals_seen++)
        loop->on_stop(loop->signal_arg);
    else
        loop->on_drain(loop->signal_arg);
}

int loop_on_signals(struct loop *loop, loop_fn *on_drain, loop_fn *on_stop, void *arg)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT};

    loop->on_drain = on_drain;
    loop->on_stop = on_stop;
    loop->signal_arg = arg;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return ERR_SYSTEM;
    for (int i = 0; i < SIGNALS; i++) {
        loop->signals[i] = evsignal_new(loop->base, numbers[i], loop_signal_fired, loop);
        if (!loop->signals[i] || evsignal_add(loop->signals[i], NULL))
            return ERR_NO_MEMORY;
    }
    return 0;
}

static void loop_hangup_fired(evutil_socket_t number, short what, void *arg)
{
    struct loop *loop = arg;

    (void)number;
    (void)what;
    loop->on_reload(loop->reload_arg);
}

int loop_on_reload(struct loop *loop, loop_fn *fn, void *arg)
{
    loop->on_reload = fn;
    loop->reload_arg = arg;
    loop->hangup = evsignal_new(loop->base, SIGHUP, loop_hangup_fired, loop);
    return loop->hangup && !evsignal_add(loop->hangup, NULL) ? 0 : ERR_NO_MEMORY;
}
