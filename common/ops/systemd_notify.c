#include "common/ops/systemd_notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"

enum { TICK_MS = 2000, STATE_SIZE = 64, MILLISECOND_US = 1000 };

struct systemd_notify {
    struct systemd_notify_config config;
    int fd;
    struct sockaddr_un manager;
    socklen_t manager_len;
    struct loop_timer *tick;
    int64_t tick_ms;
    bool has_watchdog, is_stopping, has_failed;
    char status[SYSTEMD_STATUS_SIZE]; /* as last read from config.describe */
    char unsent[STATE_SIZE];          /* the last state that could not be sent; tried again at the next tick */
};

static void log_first_failure(struct systemd_notify *notify, const char *why)
{
    if (!notify->has_failed)
        log_warn(notify->config.program, "cannot notify the service manager, continuing", "why=\"%s\"", why);
    notify->has_failed = true;
}

/* Sends `state`, lines of NAME=value, and the status. Never blocks: systemd may not be reading. */
static int send_state(struct systemd_notify *notify, const char *state)
{
    char text[STATE_SIZE + SYSTEMD_STATUS_SIZE + sizeof("STATUS=\n")];
    int len = snprintf(text, sizeof(text), "%sSTATUS=%s\n", state, notify->status);

    if (sendto(notify->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&notify->manager,
               notify->manager_len) >= 0)
        return 0;
    log_first_failure(notify, strerror(errno));
    return ERR_SYSTEM;
}

/* Sends a change of state, or keeps it for the next tick. It replaces an older one that is still unsent. */
static void change_state(struct systemd_notify *notify, const char *state)
{
    notify->unsent[0] = '\0';
    if (send_state(notify, state))
        (void)snprintf(notify->unsent, sizeof(notify->unsent), "%s", state);
}

/* Returns true if the status has changed. */
static bool update_status(struct systemd_notify *notify)
{
    char status[SYSTEMD_STATUS_SIZE] = "";
    bool changed;

    notify->config.describe(status, notify->config.arg);
    changed = strcmp(status, notify->status) != 0;
    memcpy(notify->status, status, sizeof(status));
    return changed;
}

static void systemd_notify_on_tick(void *arg)
{
    struct systemd_notify *notify = arg;
    const struct systemd_notify_config *config = &notify->config;
    bool changed = update_status(notify), is_alive = !config->is_alive || config->is_alive(config->arg);

    loop_timer_start(notify->tick, notify->tick_ms);
    if (*notify->unsent && !send_state(notify, notify->unsent))
        notify->unsent[0] = '\0';
    if (notify->has_watchdog && is_alive)
        (void)send_state(notify, "WATCHDOG=1\n");
    else if (changed)
        (void)send_state(notify, "");
}

static int find_manager(struct systemd_notify *notify, const char *name)
{
    size_t len = strlen(name);

    if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof(notify->manager.sun_path))
        return ERR_RANGE;
    notify->manager.sun_family = AF_UNIX;
    memcpy(notify->manager.sun_path, name, len);
    if (*name == '@') /* an abstract name starts with a NUL byte and is not NUL-terminated */
        notify->manager.sun_path[0] = '\0';
    notify->manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return notify->fd < 0 ? ERR_SYSTEM : 0;
}

/* The watchdog's period, or 0 if there is none for this process. */
static int64_t watchdog_us(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!time || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoll(time, NULL, 10);
}

static int start_ticking(struct systemd_notify *notify)
{
    int64_t half_ms = watchdog_us() / 2 / MILLISECOND_US;

    notify->has_watchdog = watchdog_us() > 0;
    notify->tick_ms = notify->has_watchdog && half_ms < TICK_MS ? half_ms : TICK_MS;
    if (!notify->tick_ms)
        notify->tick_ms = 1;
    notify->tick = loop_timer_create(notify->config.loop, systemd_notify_on_tick, notify);
    if (!notify->tick)
        return ERR_NO_MEMORY;
    loop_timer_start(notify->tick, notify->tick_ms);
    return 0;
}

struct systemd_notify *systemd_notify_create(const struct systemd_notify_config *config)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct systemd_notify *notify;
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
    log_first_failure(notify, err == ERR_RANGE ? "NOTIFY_SOCKET is neither a path nor an @name" : err_text(err));
    return systemd_notify_destroy(notify);
}

struct systemd_notify *systemd_notify_destroy(struct systemd_notify *notify)
{
    if (!notify)
        return NULL;
    loop_timer_destroy(notify->tick);
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify);
    return NULL;
}

void systemd_notify_ready(struct systemd_notify *notify)
{
    if (!notify || notify->is_stopping)
        return;
    (void)update_status(notify);
    change_state(notify, "READY=1\n");
}

/* MONOTONIC_USEC lets systemd match the following READY=1 to this reload. */
void systemd_notify_reloading(struct systemd_notify *notify)
{
    char state[STATE_SIZE];

    if (!notify || notify->is_stopping)
        return;
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_monotonic_us());
    change_state(notify, state);
}

void systemd_notify_stopping(struct systemd_notify *notify)
{
    if (!notify || notify->is_stopping)
        return;
    notify->is_stopping = true;
    (void)update_status(notify);
    change_state(notify, "STOPPING=1\n");
}
