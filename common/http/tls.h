/* http/tls - the certificate that a process serves its HTTP under
 *
 * TLS 1.2 and 1.3, forward-secret ciphers with authentication, HTTP/1.1 alone by ALPN: whoever offers only something else is
 * refused in the handshake. No renegotiation, no compression, no early data; sessions are resumed by tickets, so that nothing
 * is kept here.
 *
 * The files can be read anew at any time: connections from then on get the new certificate, those that are open keep theirs.
 *
 * Ownership: the creator's; it outlives the servers that use it, but not their connections.
 * Threads:   any.
 */
#ifndef ARKRELAY_HTTP_TLS_H
#define ARKRELAY_HTTP_TLS_H

#include "common/err.h"

struct http_tls;
struct ssl_st;

/* The certificate file holds the chain, the server's own first; both files are PEM. On failure NULL, and *why says what is wrong
 * (a constant or strerror's text). */
struct http_tls *http_tls_create(const char *cert_file, const char *key_file, const char **why);
struct http_tls *http_tls_destroy(struct http_tls *tls); /* accepts NULL; returns NULL */

/* On failure the old certificate stays. */
int http_tls_reload(struct http_tls *tls, const char **why) MUST_CHECK;

/* A server's session on a connected socket; NULL when out of memory. */
struct ssl_st *http_tls_session(struct http_tls *tls, int fd);

#endif
