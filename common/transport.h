/* transport - the bytes of one connection, plain or under TLS
 *
 * Every call takes the socket, which does not block, and its session; a session of NULL means plain. They answer as recv(2) and
 * send(2) do: -1 with EAGAIN means that the socket has to be ready again, whichever way it is asked to be. The socket has to be
 * watched for both directions, since a session that reads may have to write, and the other way round.
 *
 * Whoever reads under edge-triggering reads until EAGAIN, or comes back without being called: the session may hold bytes that the
 * socket no longer announces.
 *
 * After EPROTO OpenSSL's queue of errors, which every call empties first, tells what was wrong.
 *
 * OpenSSL writes with write(2): the process ignores SIGPIPE.
 */
#ifndef ARKRELAY_TRANSPORT_H
#define ARKRELAY_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_st;

/* -1 with EPROTOTYPE: the peer speaks plain HTTP to a session. */
ssize_t transport_recv(int fd, struct ssl_st *ssl, void *out, size_t size);
ssize_t transport_send(int fd, struct ssl_st *ssl, const void *bytes, size_t len);

/* As transport_recv of one byte, which stays in the session. */
ssize_t transport_peek(struct ssl_st *ssl);

/* Says that nothing more will be written. False: it has to be called again once the socket takes bytes. */
bool transport_goodbye(struct ssl_st *ssl);

#endif
