/* net - destination and source addresses of connections
 *
 * One source address has 28,000 ports for a server, and a run needs more. So connections use 127.0.1.1, 127.0.1.2 and so on in turn;
 * all of 127.0.0.0/8 is this machine.
 */
#ifndef ARKRELAY_BENCH_NET_H
#define ARKRELAY_BENCH_NET_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/err.h"

struct endpoint {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* "127.0.0.1:8000", or the path of a Unix socket. */
int endpoint_parse(const char *text, struct endpoint *out) MUST_CHECK;

struct sources {
    uint32_t count; /* 0: the kernel chooses */
    uint32_t next;
};

/* Begins a non-blocking connection. */
int net_connect(const struct endpoint *to, struct sources *sources, int *out) MUST_CHECK;

/* Raises the soft limit of descriptors to the hard one, and returns it. */
uint64_t net_raise_descriptor_limit(void);

#endif
