#include "common/http/probe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http/address.h"

enum { REQUEST_MAX = 512 };

static const char prefix[] = "HTTP/1.1 ";
enum { STATUS_LINE = sizeof(prefix) - 1 + 3 };

static int wait_until(int fd, short events, int64_t deadline_ms)
{
    struct pollfd socket = {.fd = fd, .events = events};
    int64_t rest_ms = deadline_ms - clock_monotonic_ms();

    if (rest_ms <= 0)
        return ERR_TIMEOUT;
    return poll(&socket, 1, (int)rest_ms) > 0 ? 0 : ERR_TIMEOUT;
}

static int open_connection(const struct http_address *address, int64_t deadline_ms, int *out)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0, err = 0;
    socklen_t len = sizeof(error);

    if (fd < 0)
        return ERR_SYSTEM;
    if (connect(fd, (const struct sockaddr *)&address->storage, address->len))
        err = errno == EINPROGRESS ? wait_until(fd, POLLOUT, deadline_ms) : ERR_LOST;
    if (!err && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) || error))
        err = ERR_LOST;
    if (err)
        close(fd);
    else
        *out = fd;
    return err;
}

/* The request is smaller than any empty send buffer, so it goes in one piece. */
static int send_request(int fd, const char *path, const char *host)
{
    char request[REQUEST_MAX];
    int len =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);

    if (len < 0 || len >= (int)sizeof(request))
        return ERR_TOO_LONG;
    return send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? 0 : ERR_LOST;
}

static int read_status(int fd, int64_t deadline_ms, int *out)
{
    char line[STATUS_LINE + 1] = "";
    size_t len = 0;

    while (len < STATUS_LINE) {
        int err = wait_until(fd, POLLIN, deadline_ms);
        ssize_t n = err ? 0 : recv(fd, line + len, STATUS_LINE - len, 0);

        if (err)
            return err;
        if (n <= 0)
            return ERR_LOST;
        len += (size_t)n;
    }
    *out = (int)strtol(line + sizeof(prefix) - 1, NULL, 10);
    return !strncmp(line, prefix, sizeof(prefix) - 1) && *out >= 100 ? 0 : ERR_SYNTAX;
}

int http_probe(const char *listen, const char *path, int timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct http_address address;
    char host[64];
    const char *why;
    int fd = -1, status = 0;
    int err = http_address_parse(listen, &address, &why);

    if (err)
        return err;
    http_address_make_reachable(&address);
    http_address_write(&address, host, sizeof(host));
    err = open_connection(&address, deadline_ms, &fd);
    if (err)
        return err;
    err = send_request(fd, path, host);
    if (!err)
        err = read_status(fd, deadline_ms, &status);
    close(fd);
    return err ? err : status;
}
