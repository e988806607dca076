/* redis/tls - the TLS session of a rediss:// address
 *
 * TLS 1.2 or newer. The certificate must be signed by a known authority and issued for the host of the address, a name or an IP
 * address. Verification cannot be disabled.
 */
#ifndef ARKRELAY_REDIS_TLS_H
#define ARKRELAY_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct redis_address;
struct ssl_st;

/* A client session for one connection; the caller frees it with SSL_free. NULL on an error, and *why is the reason (a constant). The
 * authorities are read for each session, so that a renewed file needs no restart. */
struct ssl_st *tls_create(const struct redis_address *address, const char **why);

/* Writes the reason of a failed connection to `out`; keeps `out` if TLS has none. True if the certificate was rejected. */
bool tls_explain(const struct ssl_st *ssl, char *out, size_t size);

#endif
