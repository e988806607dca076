/* keyset - the keys of one reading of the keys file
 *
 * Immutable. A reload creates a new keyset, and each gateway thread drops its reference to the old one when it takes the new one.
 *
 * Ownership: reference counted; the clients outlive it.
 * Threads:   any.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEYSET_H
#define ARKRELAY_GATEWAY_ACCESS_KEYSET_H

#include <stddef.h>
#include <stdint.h>

#include "common/http/request.h"

struct client;
struct clients;
struct client_limits;
struct key_file;
struct keyset;

/* With one reference. Also sets the limits of the clients in the file; `defaults` applies to limits that no line sets.
 * NULL: out of memory. */
struct keyset *keyset_create(const struct key_file *file, struct clients *clients,
                             const struct client_limits *defaults);
struct keyset *keyset_ref(struct keyset *set);
void keyset_unref(struct keyset *set); /* accepts NULL */

size_t keyset_live_count(const struct keyset *set, int64_t now_ms);

/* The owner of the key, or NULL. Does the same work for every wrong key, whether it is unknown, altered or expired. */
struct client *keyset_find(const struct keyset *set, struct http_text token, int64_t now_ms);

#endif
