#include "common/redis/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/timeval.h"
#include "common/redis/address.h"
#include "common/redis/lookup.h"

enum {
    TARGETS_MAX = 8,
    /* A peer that vanished is noticed within 30 s: by keepalive while idle, by TCP_USER_TIMEOUT while data is unacknowledged. */
    KEEPALIVE_IDLE_S = 15,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 3,
    UNACKNOWLEDGED_MS = 30000,
};

struct target {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
    } to;
    socklen_t len;
};

struct dial {
    struct loop *loop;
    const struct redis_address *address;
    int64_t timeout_ms;
    dial_fn *done;
    void *arg;

    struct lookup *lookup; /* while the name server is asked */
    struct target targets[TARGETS_MAX];
    size_t count, next;
    struct event *wait; /* for the next turn, then for the connecting socket */
    int fd;             /* -1: none */
    char why[96];       /* the last failure */
};

static void dial_try_next(struct dial *dial);

struct dial *dial_cancel(struct dial *dial)
{
    if (!dial)
        return NULL;
    lookup_cancel(dial->lookup);
    if (dial->wait)
        event_free(dial->wait);
    if (dial->fd >= 0)
        close(dial->fd);
    free(dial);
    return NULL;
}

/* Frees the dial before its callback runs. */
static void dial_finish(struct dial *dial, int fd)
{
    dial_fn *done = dial->done;
    void *arg = dial->arg;
    char why[sizeof(dial->why)];

    memcpy(why, dial->why, sizeof(why));
    dial->fd = -1;
    dial_cancel(dial);
    done(fd, why, arg);
}

static void dial_note_failure(struct dial *dial, const char *why)
{
    snprintf(dial->why, sizeof(dial->why), "%s", why);
    if (dial->fd >= 0)
        close(dial->fd);
    dial->fd = -1;
}

/* Errors are ignored: the connection works without these options. */
static void dial_tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY,      1                   },
        {SOL_SOCKET,  SO_KEEPALIVE,     1                   },
        {IPPROTO_TCP, TCP_KEEPIDLE,     KEEPALIVE_IDLE_S    },
        {IPPROTO_TCP, TCP_KEEPINTVL,    KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT,      KEEPALIVE_PROBES    },
        {IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS   },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

static void dial_on_connected(evutil_socket_t fd, short what, void *arg)
{
    struct dial *dial = arg;
    int error = 0;
    socklen_t len = sizeof(error);

    if (what & EV_TIMEOUT)
        error = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (!error) {
        dial_finish(dial, fd);
        return;
    }
    dial_note_failure(dial, strerror(error));
    dial_try_next(dial);
}

/* On success, dial_on_connected follows. */
static bool dial_attempt(struct dial *dial, const struct target *target)
{
    const struct timeval share = timeval_of_ms(dial->timeout_ms / (int64_t)dial->count + 1);

    dial->fd = socket(target->to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0) {
        dial_note_failure(dial, strerror(errno));
        return false;
    }
    if (target->to.any.sa_family != AF_UNIX)
        dial_tune(dial->fd);
    if (connect(dial->fd, &target->to.any, target->len) && errno != EINPROGRESS) {
        dial_note_failure(dial, strerror(errno));
        return false;
    }
    if (event_assign(dial->wait, loop_base(dial->loop), dial->fd, EV_WRITE, dial_on_connected, dial) ||
        event_add(dial->wait, &share)) {
        dial_note_failure(dial, "out of memory");
        return false;
    }
    return true;
}

static void dial_try_next(struct dial *dial)
{
    while (dial->next < dial->count)
        if (dial_attempt(dial, &dial->targets[dial->next++]))
            return;
    dial_finish(dial, -1);
}

static void dial_on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    dial_try_next(arg);
}

static void dial_add_path(struct dial *dial, const char *path)
{
    struct target *target = &dial->targets[dial->count++];
    size_t len = strnlen(path, sizeof(target->to.path.sun_path) - 1); /* redis_address_parse rejects longer paths */

    target->to.path.sun_family = AF_UNIX;
    memcpy(target->to.path.sun_path, path, len);
    target->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* No-op if `host` is not an IP address. */
static void dial_add_number(struct dial *dial, const char *host, uint16_t port)
{
    struct target *target = &dial->targets[dial->count];

    if (inet_pton(AF_INET, host, &target->to.v4.sin_addr) == 1) {
        target->to.v4.sin_family = AF_INET;
        target->to.v4.sin_port = htons(port);
        target->len = sizeof(target->to.v4);
        dial->count++;
    } else if (inet_pton(AF_INET6, host, &target->to.v6.sin6_addr) == 1) {
        target->to.v6.sin6_family = AF_INET6;
        target->to.v6.sin6_port = htons(port);
        target->len = sizeof(target->to.v6);
        dial->count++;
    }
}

static void dial_on_found(const struct evutil_addrinfo *found, const char *why, void *arg)
{
    struct dial *dial = arg;

    dial->lookup = NULL;
    if (why)
        snprintf(dial->why, sizeof(dial->why), "host name lookup failed: %s", why);
    for (; found && dial->count < TARGETS_MAX; found = found->ai_next) {
        struct target *target = &dial->targets[dial->count];

        if (found->ai_family != AF_INET && found->ai_family != AF_INET6)
            continue;
        memcpy(&target->to, found->ai_addr, found->ai_addrlen);
        target->len = found->ai_addrlen;
        if (found->ai_family == AF_INET)
            target->to.v4.sin_port = htons(dial->address->port);
        else
            target->to.v6.sin6_port = htons(dial->address->port);
        dial->count++;
    }
    dial_try_next(dial);
}

static void dial_find_targets(struct dial *dial)
{
    const struct redis_address *address = dial->address;

    if (address->path) {
        dial_add_path(dial, address->path);
    } else if (!strcmp(address->host, "localhost")) {
        dial_add_number(dial, "127.0.0.1", address->port);
        dial_add_number(dial, "::1", address->port);
    } else {
        dial_add_number(dial, address->host, address->port);
    }
}

struct dial *dial_start(struct loop *loop, const struct redis_address *address, int64_t timeout_ms, dial_fn *done,
                        void *arg)
{
    struct dial *dial = calloc(1, sizeof(*dial));

    if (!dial)
        return NULL;
    *dial =
        (struct dial){.loop = loop, .address = address, .timeout_ms = timeout_ms, .done = done, .arg = arg, .fd = -1};
    dial->wait = event_new(loop_base(loop), -1, 0, dial_on_turn, dial);
    if (!dial->wait)
        return dial_cancel(dial);
    dial_find_targets(dial);
    if (dial->count) {
        event_active(dial->wait, 0, 0);
        return dial;
    }
    dial->lookup = lookup_start(loop, LOOKUP_RESOLV_CONF, address->host, dial_on_found, dial);
    return dial->lookup ? dial : dial_cancel(dial);
}
