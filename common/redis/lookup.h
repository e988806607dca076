/* redis/lookup - the addresses behind a host name, without blocking the loop
 *
 * Asks the name servers of a resolv.conf, after /etc/hosts. Both are read anew for each lookup, so that what changed meanwhile
 * is seen by the next try.
 *
 * Ownership: a lookup ends in its callback, or in lookup_cancel; it frees itself.
 * Threads:   the loop's thread only.
 */
#ifndef ARKRELAY_REDIS_LOOKUP_H
#define ARKRELAY_REDIS_LOOKUP_H

#include <event2/util.h>

struct loop;
struct lookup;

#define LOOKUP_RESOLV_CONF "/etc/resolv.conf"

/* `found` is a list, valid during the callback, or NULL, and then `why` says what happened. */
typedef void lookup_fn(const struct evutil_addrinfo *found, const char *why, void *arg);

/* NULL when out of memory. `done` never runs from inside this call. */
struct lookup *lookup_start(struct loop *loop, const char *resolv_conf, const char *host, lookup_fn *done, void *arg);
void lookup_cancel(struct lookup *lookup); /* accepts NULL */

#endif
