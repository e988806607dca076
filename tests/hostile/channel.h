/* channel - a non-blocking socket, plain or with TLS
 *
 * Calls return as recv(2) and send(2) do: bytes, 0 at the end, or -1 with errno, where EAGAIN means to retry later. The TLS handshake
 * runs as part of these calls, and no certificate is checked. A broken channel sends plain bytes after the TLS handshake.
 *
 * Ownership: channel_close closes the socket.
 */
#ifndef ARKRELAY_HOSTILE_CHANNEL_H
#define ARKRELAY_HOSTILE_CHANNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum channel_kind { CHANNEL_PLAIN, CHANNEL_TLS, CHANNEL_BROKEN };

struct channel {
    int fd;   /* -1: none */
    SSL *tls; /* NULL: plain */
    bool broken;
};

/* Takes over fd, which may still be connecting. tls: NULL for CHANNEL_PLAIN. */
bool channel_open(struct channel *channel, int fd, enum channel_kind kind, SSL_CTX *tls);
ssize_t channel_receive(struct channel *channel, void *bytes, size_t size);
ssize_t channel_send(struct channel *channel, const void *bytes, size_t len);
void channel_finish(struct channel *channel);               /* half-closes */
void channel_close(struct channel *channel, bool by_reset); /* no-op if fd is -1 */

#endif
