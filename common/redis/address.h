/* redis/address - where Redis is, from a URL
 *
 *     redis://[[user]:password@]host[:port][/db]     rediss:// the same over TLS, certificate and name checked
 *     unix:///path[?db=n], unix://[[user]:password@]/path
 * User and password may be percent-encoded. IPv6 hosts stand in brackets. What is not supported is an error, not a guess.
 *
 * Pure. Ownership: redis_address_deinit frees the texts.
 */
#ifndef ARKRELAY_REDIS_ADDRESS_H
#define ARKRELAY_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct redis_address {
    char *host; /* NULL for a socket path */
    uint16_t port;
    char *path;            /* NULL for a host */
    char *user, *password; /* NULL: none */
    int db;
    bool tls;
    const char *ca_file; /* borrowed; NULL or "": the system's authorities. Set by the caller. */
};

/* On ERR_SYNTAX *why says in a few words what is wrong (a constant). */
int redis_address_parse(const char *url, struct redis_address *out, const char **why) MUST_CHECK;
void redis_address_deinit(struct redis_address *address);

/* "redis://host:port/db" without user and password, for logs. */
void redis_address_text(const struct redis_address *address, char *out, size_t size);

#endif
