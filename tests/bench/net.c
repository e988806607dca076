#include "tests/bench/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/host_port.h"

enum { FIRST_SOURCE = 0x7f000101, PER_NETWORK = 250 }; /* 127.0.1.1 */

static int parse_path(const char *path, struct endpoint *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return ERR_TOO_LONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(&out->storage, &address, sizeof(address));
    out->len = sizeof(address);
    return 0;
}

int endpoint_parse(const char *text, struct endpoint *out)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char copy[INET_ADDRSTRLEN + sizeof(":65535")];
    struct host_port parts;

    if (text[0] == '/')
        return parse_path(text, out);
    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) || !host_port_split(copy, &parts))
        return ERR_SYNTAX;
    address.sin_port = htons((uint16_t)strtoul(parts.port, NULL, 10));
    if (inet_pton(AF_INET, parts.host, &address.sin_addr) != 1 || !address.sin_port)
        return ERR_SYNTAX;
    memcpy(&out->storage, &address, sizeof(address));
    out->len = sizeof(address);
    return 0;
}

/* IP_BIND_ADDRESS_NO_PORT chooses the port in connect(), where only the pair of addresses must be unique. bind() would need a port that is
 * free for all destinations. */
static int bind_source(int fd, struct sources *sources)
{
    uint32_t n = sources->next++ % sources->count;
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1;

    address.sin_addr.s_addr = htonl((uint32_t)FIRST_SOURCE + n / PER_NETWORK * 256 + n % PER_NETWORK);
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)))
        return ERR_SYSTEM;
    return 0;
}

int net_connect(const struct endpoint *to, struct sources *sources, int *out)
{
    bool inet = to->storage.ss_family == AF_INET;
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        return ERR_SYSTEM;
    if ((inet && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))) ||
        (inet && sources && sources->count && bind_source(fd, sources)) ||
        (connect(fd, (const struct sockaddr *)&to->storage, to->len) && errno != EINPROGRESS)) {
        close(fd);
        return ERR_SYSTEM;
    }
    *out = fd;
    return 0;
}

uint64_t net_raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
