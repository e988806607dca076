#include "common/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"

enum { TICK_US = 2000000, TICK_MIN_US = 1000, FACTS_SIZE = 64, SECOND_US = 1000000 };

struct notify {
    struct notify_config config;
    int fd;
    struct sockaddr_un manager;
    socklen_t manager_len;
    struct event *tick;
    bool has_watchdog, is_stopping, has_failed;
    char status[NOTIFY_STATUS_SIZE]; /* as last told */
    char unsent[FACTS_SIZE];         /* what the manager had no room for; told at the next tick */
};

static void complain(struct notify *notify, const char *why)
{
    if (!notify->has_failed)
        log_warn(notify->config.program, "cannot tell the service manager; continuing", "why=\"%s\"", why);
    notify->has_failed = true;
}

/* Never waits: a manager that does not read must not make the service stand still. */
static int say(struct notify *notify, const char *facts)
{
    char text[FACTS_SIZE + NOTIFY_STATUS_SIZE + sizeof("STATUS=\n")];
    int len = snprintf(text, sizeof(text), "%sSTATUS=%s\n", facts, notify->status);

    if (sendto(notify->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&notify->manager,
               notify->manager_len) >= 0)
        return 0;
    complain(notify, strerror(errno));
    return ERR_SYSTEM;
}

/* A later fact takes the place of one that is still unsent. */
static void tell(struct notify *notify, const char *facts)
{
    notify->unsent[0] = '\0';
    if (say(notify, facts))
        (void)snprintf(notify->unsent, sizeof(notify->unsent), "%s", facts);
}

/* Whether the status is another one than was last told. */
static bool look(struct notify *notify)
{
    char status[NOTIFY_STATUS_SIZE] = "";
    bool is_news;

    notify->config.describe(status, notify->config.arg);
    is_news = strcmp(status, notify->status) != 0;
    memcpy(notify->status, status, sizeof(status));
    return is_news;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct notify *notify = arg;
    const struct notify_config *config = &notify->config;
    bool is_news = look(notify), is_alive = !config->is_alive || config->is_alive(config->arg);

    (void)fd;
    (void)what;
    if (*notify->unsent && !say(notify, notify->unsent))
        notify->unsent[0] = '\0';
    if (notify->has_watchdog && is_alive)
        (void)say(notify, "WATCHDOG=1\n");
    else if (is_news)
        (void)say(notify, "");
}

static int find_manager(struct notify *notify, const char *name)
{
    size_t len = strlen(name);

    if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof(notify->manager.sun_path))
        return ERR_RANGE;
    notify->manager.sun_family = AF_UNIX;
    memcpy(notify->manager.sun_path, name, len);
    if (*name == '@') /* an abstract name begins with a zero, and ends where its length says */
        notify->manager.sun_path[0] = '\0';
    notify->manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return notify->fd < 0 ? ERR_SYSTEM : 0;
}

/* The watchdog's time if there is one and it is meant for this process; otherwise 0. */
static int64_t watchdog_us(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!time || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoll(time, NULL, 10);
}

static int start_ticking(struct notify *notify)
{
    int64_t watchdog = watchdog_us(), every = TICK_US;
    struct timeval interval;

    notify->has_watchdog = watchdog > 0;
    if (notify->has_watchdog && watchdog / 2 < every)
        every = watchdog / 2 < TICK_MIN_US ? TICK_MIN_US : watchdog / 2;
    interval = (struct timeval){.tv_sec = every / SECOND_US, .tv_usec = every % SECOND_US};
    notify->tick = event_new(loop_base(notify->config.loop), -1, EV_PERSIST, on_tick, notify);
    return notify->tick && !event_add(notify->tick, &interval) ? 0 : ERR_NO_MEMORY;
}

struct notify *notify_create(const struct notify_config *config)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct notify *notify;
    int err;

    if (!name || !*name)
        return NULL;
    notify = calloc(1, sizeof(*notify));
    if (!notify)
        return NULL;
    notify->config = *config;
    notify->fd = -1;
    err = find_manager(notify, name);
    if (!err)
        err = start_ticking(notify);
    if (!err)
        return notify;
    complain(notify, err == ERR_RANGE ? "NOTIFY_SOCKET is neither a path nor an @name" : err_text(err));
    return notify_destroy(notify);
}

struct notify *notify_destroy(struct notify *notify)
{
    if (!notify)
        return NULL;
    if (notify->tick)
        event_free(notify->tick);
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify);
    return NULL;
}

void notify_ready(struct notify *notify)
{
    if (!notify || notify->is_stopping)
        return;
    (void)look(notify);
    tell(notify, "READY=1\n");
}

/* The time lets the manager tell this reload from an earlier one's answer. */
void notify_reloading(struct notify *notify)
{
    char facts[FACTS_SIZE];

    if (!notify || notify->is_stopping)
        return;
    (void)snprintf(facts, sizeof(facts), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_monotonic_us());
    tell(notify, facts);
}

void notify_stopping(struct notify *notify)
{
    if (!notify || notify->is_stopping)
        return;
    notify->is_stopping = true;
    (void)look(notify);
    tell(notify, "STOPPING=1\n");
}
