/* http_fixture - a server with a few routes, its loop, and raw socket clients, in one thread
 *
 *     GET  /            "hello"
 *     POST /            echoes the body
 *     GET  /items/{id}  the id
 *     GET  /later       nothing yet: the test answers through fixture->exchange
 *     GET  /stream      starts a stream with "first"; the test continues it through fixture->exchange
 *     GET  /deaf        like /later, but without on_closed
 *
 * An open stream whose client half-closes gets "probe".
 *
 * Between http_fixture_begin_tls and http_fixture_end_tls all connections use TLS, with a certificate for "localhost" that the clients
 * verify.
 *
 * Every wait runs the loop until its condition is true, and fails after five seconds.
 */
#ifndef TESTS_SUPPORT_HTTP_FIXTURE_H
#define TESTS_SUPPORT_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/http/server.h"

struct http_fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_server_config config; /* may be changed before http_fixture_start */
    struct http_tls *tls;             /* NULL: plain */
    const char *clients_from;         /* NULL: any address */

    int handled;                    /* requests that reached a handler */
    int closed;                     /* calls of on_closed */
    struct http_exchange *exchange; /* of the last /later, /deaf or /stream; NULL once on_closed was called */
    bool in_call;                   /* set by tests during calls in which on_closed must not be called */
};

/* The setup and teardown of a group of tests; TLS is set for the whole process. */
int http_fixture_begin_tls(void **state);
const char *http_fixture_authority(void); /* the path of its certificate */
int http_fixture_end_tls(void **state);

void http_fixture_init(struct http_fixture *fixture);
void http_fixture_start(struct http_fixture *fixture);
void http_fixture_end(struct http_fixture *fixture); /* the server may be destroyed already */

/* A request with only the required fields. */
#define POST_CHUNKED(path) "POST " path " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define GET(path)          "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

void http_fixture_turn(struct http_fixture *fixture, int turns);
void http_fixture_wait(struct http_fixture *fixture, const int *counter, int value);

struct http_peer {
    struct http_fixture *fixture;
    int fd;
    struct ssl_st *ssl; /* NULL: plain */
    struct buf received;
    bool ended; /* by FIN, with TLS after close_notify; error is set for any other end */
    int error;
};

void http_peer_dial(struct http_fixture *fixture, struct http_peer *peer);
void http_peer_dial_unseen(struct http_fixture *fixture,
                           struct http_peer *peer); /* the server has not accepted it yet */
void http_peer_close(struct http_peer *peer);
void http_peer_reset(struct http_peer *peer);      /* closes with RST */
void http_peer_half_close(struct http_peer *peer); /* sends FIN and continues to read */
void http_peer_send(struct http_peer *peer, const char *text);
void http_peer_send_bytes(struct http_peer *peer, const char *bytes, size_t len);

/* For tests of one peer and a server with defaults: init, start, dial; and close, end. */
void http_fixture_begin(struct http_fixture *fixture, struct http_peer *peer);
void http_fixture_finish(struct http_fixture *fixture, struct http_peer *peer);

/* Each consumes what it has matched, so the next one searches after it. */
void http_peer_expect(struct http_peer *peer, const char *text);                /* anywhere in the input */
void http_peer_expect_nothing_before(struct http_peer *peer, const char *text); /* at the start of the input */
void http_peer_expect_status(struct http_peer *peer, const char *status);       /* a status line: "200 OK" */
void http_peer_expect_body(struct http_peer *peer, const char *body);           /* after the rest of the head */
bool http_peer_has_nothing(struct http_peer *peer);                             /* after a turn: no byte, no end */
void http_peer_expect_end(struct http_peer *peer);   /* FIN without unmatched bytes before it */
void http_peer_expect_reset(struct http_peer *peer); /* after any bytes */

#endif
