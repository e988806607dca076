/* redis/wire - the bytes between us and one server, plain or under TLS
 *
 * What is written leaves at the end of the loop's turn in one piece, or in pieces of 16 KiB and more, so that the commands of a turn
 * go out together. The socket is watched for reading all the time, and for writing only while the kernel takes no more: a command
 * costs one send, its reply one wait and one receive.
 *
 * Ownership: a wire takes over the socket and the session. It may be closed from inside of its callbacks; none comes after that.
 * Threads:   the loop's own.
 * Errors:    the end of the connection comes as on_end, never from inside of a call, but for wire_read.
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
    void (*on_open)(void *arg); /* the TLS session stands; not called for a plain connection */
    void (*on_bytes)(const char *bytes, size_t len, void *arg);
    void (*on_end)(const char *why, bool is_certificate, void *arg); /* then the wire is to be closed */
};

/* ssl: a client's session that has not begun, or NULL. `events` outlives the wire. NULL when out of memory: then socket and session
 * are still the caller's. */
struct wire *wire_open(struct loop *loop, int fd, struct ssl_st *ssl, size_t output_max,
                       const struct wire_events *events, void *arg);
struct wire *wire_close(struct wire *wire); /* accepts NULL; what has not left is dropped; returns NULL */

/* The bytes that have not left yet, at most output_max; whatever is added goes at the end of this turn at the latest. */
struct buf *wire_output(struct wire *wire);

void wire_read(struct wire *wire); /* all that has come and was not announced yet: its callbacks run from inside */

#endif
