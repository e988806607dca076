/* redis/wire - the socket to one server, plain or with TLS
 *
 * Output is sent at the end of the loop turn, or earlier in pieces of at least 16 KiB, so that the commands of one turn share a
 * send. The socket is always watched for reading, and for writing only while the kernel's buffer is full.
 *
 * Ownership: a wire owns the socket and the TLS session. It may be closed from inside its callbacks; none runs after that.
 * Threads:   loop thread only.   Units: bytes.
 * Errors:    the end of the connection is reported by on_end, never from inside a call, except wire_read.
 */
#ifndef ARKRELAY_REDIS_WIRE_H
#define ARKRELAY_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct loop;
struct ssl_st;
struct wire;

struct wire_events {
    void (*on_open)(void *arg); /* the TLS handshake is complete; not called for a plain connection */
    void (*on_bytes)(const char *bytes, size_t len, void *arg);
    void (*on_end)(const char *why, bool is_certificate, void *arg); /* the receiver closes the wire */
};

/* ssl: a client's session before its handshake, or NULL for a plain connection. `events` outlives the wire. NULL when out of memory:
 * socket and session then still belong to the caller. */
struct wire *wire_open(struct loop *loop, int fd, struct ssl_st *ssl, size_t output_max,
                       const struct wire_events *events, void *arg);
struct wire *wire_close(struct wire *wire); /* accepts NULL; drops unsent output; returns NULL */

/* The unsent output, at most output_max bytes. Bytes that are appended are sent at the end of this turn at the latest. */
struct buf *wire_output(struct wire *wire);

void wire_read(struct wire *wire); /* reads what has arrived; callbacks run inside */

#endif
