/* net - where to connect to, and from where
 *
 * One source address has 28,000 ports towards a server; a run needs more. All of 127.0.0.0/8 is this machine, so connections take
 * turns at 127.0.1.1, 127.0.1.2 and so on.
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

/* "127.0.0.1:8000" or a socket's path, which begins with "/". */
int endpoint_parse(const char *text, struct endpoint *out) MUST_CHECK;

struct sources {
    uint32_t count; /* 0: the kernel's choice */
    uint32_t next;
};

/* A connection that has been begun, non-blocking. */
int net_connect(const struct endpoint *to, struct sources *sources, int *out) MUST_CHECK;

/* How many descriptors the process may have now, the soft limit raised to the hard one. */
uint64_t net_raise_descriptor_limit(void);

#endif
