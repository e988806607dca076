/* channel - a socket that does not block, plain or with TLS on top
 *
 * Like the system's calls: bytes, 0 at the end, or -1 with errno; EAGAIN is for later. TLS checks no certificate, and shakes hands as it
 * goes. A broken channel speaks TLS until the hands are shaken, and plain bytes in the midst of it from then on.
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

/* Takes over fd, which may still be connecting. tls: NULL where the kind is plain. */
bool channel_open(struct channel *channel, int fd, enum channel_kind kind, SSL_CTX *tls);
ssize_t channel_receive(struct channel *channel, void *bytes, size_t size);
ssize_t channel_send(struct channel *channel, const void *bytes, size_t len);
void channel_finish(struct channel *channel);               /* nothing more will be sent */
void channel_close(struct channel *channel, bool by_reset); /* also where there is none */

#endif
