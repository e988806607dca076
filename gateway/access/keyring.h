/* keyring - the API keys of the process, reloaded on SIGHUP
 *
 * Without a keys file there are no keys, and every request belongs to the client `public`. With one, each load creates a new
 * keyset: the keys of one reading of the file, immutable. A load that succeeds replaces the old keyset as a whole; a load that fails
 * changes nothing. Each gateway thread drops its reference to the old keyset when it takes the new one.
 *
 * Ownership: owns the clients, which outlive the keysets. A keyset is reference counted.
 * Threads:   keyring_take, keyring_client and the functions of keysets on any thread; everything else on the main thread.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEYRING_H
#define ARKRELAY_GATEWAY_ACCESS_KEYRING_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/http/request.h"
#include "gateway/access/client.h"

struct buf;
struct key_file;
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

/* The client of this name: of the keys file, or `public` without one. NULL: there is none. */
struct client *keyring_client(struct keyring *keyring, const char *name);

/* Whether it applies to any client at present. */
bool keyring_has_limit(struct keyring *keyring, enum client_limit limit);

/* -- keysets */

/* With one reference. Also sets the limits and the webhooks of the clients in the file; `defaults` applies to limits that no line sets.
 * NULL: out of memory. */
struct keyset *keyset_create(const struct key_file *file, struct clients *clients,
                             const struct client_limits *defaults);
struct keyset *keyset_ref(struct keyset *set);
void keyset_unref(struct keyset *set); /* accepts NULL */

size_t keyset_live_count(const struct keyset *set, int64_t now_ms);

/* The owner of the key, or NULL. Does the same work for every wrong key, whether it is unknown, altered or expired. */
struct client *keyset_find(const struct keyset *set, struct http_text token, int64_t now_ms);

#endif
