/* keyring - the process's keys: where they come from, and the ones in force
 *
 * Without a keys file there are none, and everybody is the client `public`. With one, each reading of it is a keyset; reading again
 * puts the new one in force as a whole, or changes nothing.
 *
 * Ownership: owns the clients.
 * Threads:   keyring_take on any; everything else on the main thread.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEYRING_H
#define ARKRELAY_GATEWAY_ACCESS_KEYRING_H

#include <stddef.h>

#include "common/err.h"
#include "gateway/access/client.h"

struct buf;
struct keyring;
struct keyset;

struct keyring_config {
    const char *path;              /* the keys file; NULL: there are no keys */
    struct client_limits defaults; /* of clients with keys */
    struct client_limits open;     /* of the client `public` */
};

/* Borrows the path. NULL: out of memory. */
struct keyring *keyring_create(const struct keyring_config *config);
struct keyring *keyring_destroy(struct keyring *keyring); /* accepts NULL; returns NULL */

/* Reads the keys file, if there is one; `why` gets what is wrong. The log tells what is in force now. */
int keyring_load(struct keyring *keyring, struct buf *why) MUST_CHECK;

/* The keys in force, with a reference for the caller; NULL: there are none, and the client is keyring_public. */
struct keyset *keyring_take(struct keyring *keyring);
struct client *keyring_public(const struct keyring *keyring);

#endif
