/* redis/address - where Redis is, from a URL
 *
 *     redis://[[user]:password@]host[:port][/db]     rediss:// the same over TLS, certificate and name checked
 *     unix:///path[?db=n], unix://[[user]:password@]/path
 *     redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/db]
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

enum { REDIS_SENTINELS_MAX = 8 };

struct redis_host {
    char *name; /* or its number */
    uint16_t port;
};

/* A host, or a socket's path, or sentinels that know the host. */
struct redis_address {
    char *host;
    uint16_t port;
    char *path;
    struct redis_host sentinels[REDIS_SENTINELS_MAX];
    size_t sentinel_count;
    char *master; /* what the sentinels call it */

    char *user, *password; /* NULL: none */
    int db;
    bool tls;
    const char *ca_file; /* borrowed; NULL or "": the system's authorities. Set by the caller. */
};

/* On ERR_SYNTAX *why says in a few words what is wrong (a constant). */
int redis_address_parse(const char *url, struct redis_address *out, const char **why) MUST_CHECK;
void redis_address_deinit(struct redis_address *address);

/* The URL without user and password, for logs. */
void redis_address_text(const struct redis_address *address, char *out, size_t size);

#endif
