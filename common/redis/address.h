/* redis/address - the location of Redis, from a URL
 *
 *     redis://[[user]:password@]host[:port][/db]     rediss:// the same over TLS, with a verified certificate
 *     unix:///path[?db=n], unix://[[user]:password@]/path
 *     redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/db]
 * User and password may be percent-encoded. IPv6 hosts are in brackets. Anything else is an error.
 *
 * Pure. Ownership: redis_address_deinit frees the strings, and clears the password.
 */
#ifndef ARKRELAY_REDIS_ADDRESS_H
#define ARKRELAY_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { REDIS_SENTINELS_MAX = 8 };

struct redis_host {
    char *name; /* or an IP address */
    uint16_t port;
};

/* One of: host and port; path; sentinels and master. */
struct redis_address {
    char *host;
    uint16_t port;
    char *path;
    struct redis_host sentinels[REDIS_SENTINELS_MAX];
    size_t sentinel_count;
    char *master; /* its name at the sentinels */

    char *user, *password; /* NULL: none */
    int db;
    bool tls;
    const char *ca_file; /* borrowed; NULL or "": the system's. Set by the caller */
};

/* On an error, *why is the reason (a constant). */
int redis_address_parse(const char *url, struct redis_address *out, const char **why) MUST_CHECK;
void redis_address_deinit(struct redis_address *address);

/* The URL without user and password, for logs. */
void redis_address_text(const struct redis_address *address, char *out, size_t size);

#endif
