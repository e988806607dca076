/* http/tls - the certificate and key of the HTTP server, and new TLS sessions with them
 *
 * TLS 1.2 and 1.3 with forward-secret AEAD ciphers. ALPN (RFC 7301) offers only HTTP/1.1, so a client that offers only other
 * protocols fails the handshake. No renegotiation, compression or early data. Sessions are resumed by tickets, so the server stores
 * none.
 *
 * Ownership: the creator's; it must outlive the servers that use it. Sessions may outlive it.
 * Threads:   any; calls take a mutex.
 */
#ifndef ARKRELAY_HTTP_TLS_H
#define ARKRELAY_HTTP_TLS_H

#include "common/base/err.h"

struct http_tls;
struct ssl_st;

/* Both files are PEM; the certificate file has the chain, with the server's own certificate first. On failure NULL, and *why is the
 * reason (a constant or strerror's text). */
struct http_tls *http_tls_create(const char *cert_file, const char *key_file, const char **why);
struct http_tls *http_tls_destroy(struct http_tls *tls); /* accepts NULL; returns NULL */

/* Reads both files again. New connections get the new certificate, open ones keep theirs. On failure the old certificate stays. */
int http_tls_reload(struct http_tls *tls, const char **why) MUST_CHECK;

/* A server-side session on a connected socket, owned by the caller (SSL_free). NULL when out of memory. */
struct ssl_st *http_tls_session(struct http_tls *tls, int fd);

#endif
