/* http/address - "host:port" and "[v6]:port" as socket addresses
 *
 * Resolving a name may block; it happens when a program starts.
 */
#ifndef ARKRELAY_HTTP_ADDRESS_H
#define ARKRELAY_HTTP_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/err.h"

struct http_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* An empty host is the wildcard address. On failure *why is a constant, or the system's text. */
int http_address_parse(const char *text, struct http_address *out, const char **why) MUST_CHECK;

/* Turns a wildcard address, which one can listen on, into the loopback address, which one can reach. */
void http_address_make_reachable(struct http_address *address);

void http_address_write(const struct http_address *address, char *out, size_t size);

#endif
