/* redis/tls - the TLS side of a rediss:// address
 *
 * TLS 1.2 or newer; the certificate must be signed by an authority we know and be made out for the host that we asked for, a name or
 * an IP address. There is no way to switch that off.
 */
#ifndef ARKRELAY_REDIS_TLS_H
#define ARKRELAY_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct redis_address;
struct ssl_st;

/* A client's side for one connection, the caller's for SSL_free; or NULL, and then *why says what is wrong (a constant). The
 * authorities are read anew each time, so that a renewed file needs no restart. */
struct ssl_st *tls_create(const struct redis_address *address, const char **why);

/* Why a TLS connection failed, in words; `out` stays as it is when TLS does not know. True when the certificate is to blame. */
bool tls_explain(const struct ssl_st *ssl, char *out, size_t size);

#endif
