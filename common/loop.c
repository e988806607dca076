#include "common/loop.h"

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

/* Takes the whole list first: what is deferred meanwhile belongs to the turn after, so that nobody who defers again and again keeps the
 * sockets waiting. */
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

/* Sockets are watched for edges. Without memory for epoll, libevent would take another method, which knows none. */
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

static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* libevent keeps the room that its timers once took up. */
int loop_reserve_timers(struct loop *loop, size_t count)
{
    static const struct timeval later = {3600, 0};
    size_t size = event_get_struct_event_size(), added = 0;
    char *events = calloc(count, size);

    while (events && added < count) {
        struct event *event = (struct event *)(void *)(events + added * size);

        if (evtimer_assign(event, loop->base, on_nothing, NULL) || evtimer_add(event, &later))
            break;
        added++;
    }
    for (size_t i = 0; i < added; i++)
        evtimer_del((struct event *)(void *)(events + i * size));
    free(events);
    return added == count ? 0 : ERR_NO_MEMORY;
}

/* What libevent puts back would kill the process. It is ending by itself: a signal that comes so late must not change its status, nor
 * one that comes in between. */
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
        /* A bufferevent that was freed, or a lookup that was cancelled, goes only when its own callback has had its turn. */
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

/* The end of a turn is ours: libevent 2.1 has no place for work behind all callbacks of a turn but a timer of no time, which costs
 * another look at the sockets. */
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

static void on_wakeup_fd(evutil_socket_t fd, short what, void *arg)
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
    loop->wakeup = event_new(loop->base, loop->wakeup_fd, EV_READ | EV_PERSIST, on_wakeup_fd, loop);
    return loop->wakeup && !event_add(loop->wakeup, NULL) ? 0 : ERR_NO_MEMORY;
}

void loop_wakeup(struct loop *loop)
{
    uint64_t one = 1;

    /* Fails only when the counter is full, and then the loop is about to wake anyway. */
    if (write(loop->wakeup_fd, &one, sizeof(one)) < 0)
        return;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
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
        loop->signals[i] = evsignal_new(loop->base, numbers[i], on_signal, loop);
        if (!loop->signals[i] || evsignal_add(loop->signals[i], NULL))
            return ERR_NO_MEMORY;
    }
    return 0;
}

static void on_hangup(evutil_socket_t number, short what, void *arg)
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
    loop->hangup = evsignal_new(loop->base, SIGHUP, on_hangup, loop);
    return loop->hangup && !evsignal_add(loop->hangup, NULL) ? 0 : ERR_NO_MEMORY;
}
