/* redis/lookup - resolves a host name without blocking the loop
 *
 * Reads /etc/hosts, then asks the name servers of a resolv.conf. Both files are read for each lookup, so that changes take effect.
 *
 * Ownership: a lookup ends in its callback or in lookup_cancel, and frees itself.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_REDIS_LOOKUP_H
#define ARKRELAY_REDIS_LOOKUP_H

#include <event2/util.h>

struct loop;
struct lookup;

#define LOOKUP_RESOLV_CONF "/etc/resolv.conf"

/* `found` is a list, valid during the callback; or NULL, and `why` is the error. */
typedef void lookup_fn(const struct evutil_addrinfo *found, const char *why, void *arg);

/* NULL when out of memory. `done` never runs inside this call. */
struct lookup *lookup_start(struct loop *loop, const char *resolv_conf, const char *host, lookup_fn *done, void *arg);
void lookup_cancel(struct lookup *lookup); /* accepts NULL */

#endif
