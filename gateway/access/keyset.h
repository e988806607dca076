/* keyset - the keys of one reading of the keys file
 *
 * It never changes: a reload makes a new one, and each gateway lets go of the old one when it takes that.
 *
 * Ownership: shared by references; the clients that it names outlive it.
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

/* With one reference. The limits of the clients in the file are set as well: what no line sets is `defaults`. NULL: out of memory. */
struct keyset *keyset_create(const struct key_file *file, struct clients *clients,
                             const struct client_limits *defaults);
struct keyset *keyset_ref(struct keyset *set);
void keyset_unref(struct keyset *set); /* accepts NULL */

size_t keyset_live_count(const struct keyset *set, int64_t now_ms);

/* Whose key this is, or NULL. Every wrong key, however it is wrong, costs the same work. */
struct client *keyset_find(const struct keyset *set, struct http_text token, int64_t now_ms);

#endif
