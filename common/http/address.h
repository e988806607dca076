/* http/address - converts "host:port" and "[v6]:port" to socket addresses, and back
 *
 * Threads:   any. http_address_parse may block to resolve a name, so it is called at start-up only.
 * Errors:    ERR_SYNTAX, ERR_NOT_FOUND.
 */
#ifndef ARKRELAY_HTTP_ADDRESS_H
#define ARKRELAY_HTTP_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/base/err.h"

struct http_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* An empty host is the wildcard address. On failure *why is the reason (a constant or gai_strerror's text). */
int http_address_parse(const char *text, struct http_address *out, const char **why) MUST_CHECK;

void http_address_write(const struct http_address *address, char *out, size_t size);

#endif
