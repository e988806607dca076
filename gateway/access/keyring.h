/* keyring - the API keys of the process, reloaded on SIGHUP
 *
 * Without a keys file there are no keys, and every request belongs to the client `public`. With one, each load creates a new
 * keyset. A load that succeeds replaces the old keyset as a whole; a load that fails changes nothing.
 *
 * Ownership: owns the clients.
 * Threads:   keyring_take on any thread; everything else on the main thread.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEYRING_H
#define ARKRELAY_GATEWAY_ACCESS_KEYRING_H

#include <stddef.h>

#include "common/base/err.h"
#include "gateway/access/client.h"

struct buf;
struct keyring;
struct keyset;

struct keyring_config {
    const char *path;              /* the keys file; NULL: no keys */
    struct client_limits defaults; /* of clients with keys */
    struct client_limits open;     /* of the client `public` */
};

/* Borrows the path. NULL: out of memory. */
struct keyring *keyring_create(const struct keyring_config *config);
struct keyring *keyring_destroy(struct keyring *keyring); /* accepts NULL; returns NULL */

/* Reads the keys file, if there is one. On error `why` gets the reason. Logs the number of keys. */
int keyring_load(struct keyring *keyring, struct buf *why) MUST_CHECK;

/* The current keyset, with a reference for the caller. NULL: no keys file, and the client is keyring_public. */
struct keyset *keyring_take(struct keyring *keyring);
struct client *keyring_public(const struct keyring *keyring);

#endif
