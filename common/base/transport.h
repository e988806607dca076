/* transport - non-blocking send and receive on a socket, plain or through TLS
 *
 * `ssl` is the socket's OpenSSL session; NULL means plain. Results are those of recv(2) and send(2).
 *
 * - EAGAIN: wait until the socket is ready, for reading or for writing. A TLS session may have to write in order to read, and the
 *   reverse, so watch the socket for both.
 * - With edge-triggered events, read until EAGAIN or schedule the next read yourself: the session may buffer bytes for which the
 *   socket reports no further event.
 * - EPROTO: OpenSSL's error queue says why. Every call clears the queue first.
 *
 * Ownership: borrows the socket and the session.
 * Threads:   any, one at a time per session. The process must ignore SIGPIPE: OpenSSL writes with write(2).
 */
#ifndef ARKRELAY_BASE_TRANSPORT_H
#define ARKRELAY_BASE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_st;

/* -1 with EPROTOTYPE: the peer sent a plain HTTP request to a TLS session. */
ssize_t transport_recv(int fd, struct ssl_st *ssl, void *out, size_t size);
ssize_t transport_send(int fd, struct ssl_st *ssl, const void *bytes, size_t len);

/* Like transport_recv of one byte, but leaves the byte in the session. */
ssize_t transport_peek(struct ssl_st *ssl);

/* Sends TLS's close_notify: no more data follows. Returns false if it must be called again once the socket is writable. */
bool transport_close_notify(struct ssl_st *ssl);

#endif
