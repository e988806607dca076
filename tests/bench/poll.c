#include "tests/bench/poll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { READY_AT_ONCE = 512, NS_PER_S = 1000000000, TURN_MAX_NS = 50000000 };

int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int poll_init(struct poll *poll)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return ERR_SYSTEM;
    *poll = (struct poll){.fd = fd, .now_ns = clock_ns()};
    return 0;
}

void poll_deinit(struct poll *poll)
{
    close(poll->fd);
}

static int control(struct poll *poll, int operation, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    return epoll_ctl(poll->fd, operation, watch->fd, &event) ? ERR_SYSTEM : 0;
}

int poll_add(struct poll *poll, struct watch *watch, uint32_t events)
{
    return control(poll, EPOLL_CTL_ADD, watch, events);
}

int poll_change(struct poll *poll, struct watch *watch, uint32_t events)
{
    return control(poll, EPOLL_CTL_MOD, watch, events);
}

void watch_close(struct watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

static int wait_for(struct poll *poll, struct epoll_event *ready, int64_t left_ns)
{
    struct timespec limit = {.tv_nsec = left_ns < TURN_MAX_NS ? left_ns : TURN_MAX_NS};
    int count = epoll_pwait2(poll->fd, ready, READY_AT_ONCE, &limit, NULL);

    return count < 0 && errno == EINTR ? 0 : count;
}

static int64_t time_left(const struct poll *poll, int64_t until_ns)
{
    int64_t next_ns = poll->wake_ns && poll->wake_ns < until_ns ? poll->wake_ns : until_ns;

    return next_ns > poll->now_ns ? next_ns - poll->now_ns : 0;
}

void poll_run(struct poll *poll, int64_t until_ns)
{
    struct epoll_event ready[READY_AT_ONCE];

    poll->now_ns = clock_ns();
    while (!poll->stopped && poll->now_ns < until_ns) {
        int count = wait_for(poll, ready, time_left(poll, until_ns));

        poll->now_ns = clock_ns();
        for (int i = 0; i < count; i++) {
            struct watch *watch = ready[i].data.ptr;

            watch->on_ready(watch, ready[i].events);
        }
        if (poll->on_turn)
            poll->on_turn(poll->arg);
        if (count < 0)
            return;
    }
}
