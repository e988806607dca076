/* http_fixture - a server with a few routes, its loop, and socket clients, all in one thread
 *
 *     GET  /            "hello"
 *     POST /            echoes the body
 *     GET  /items/{id}  the segment
 *     GET  /later       does not answer: the test answers through fixture->exchange
 *     GET  /stream      begins a stream with "first"; the test continues through fixture->exchange
 *     GET  /deaf        like /later, but without on_closed
 *
 * An open stream whose client half-closes gets "probe".
 *
 * Between http_fixture_begin_tls and http_fixture_end_tls all connections use TLS, with a certificate for "localhost" that the
 * clients verify.
 *
 * Every wait runs turns of the loop until its condition is true, and fails after five seconds.
 */
#ifndef TESTS_SUPPORT_HTTP_FIXTURE_H
#define TESTS_SUPPORT_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
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

/* Setup and teardown of a group of tests; they apply to the whole process. */
int http_fixture_begin_tls(void **state);
const char *http_fixture_authority(void); /* the path of the authority's certificate */
int http_fixture_end_tls(void **state);

void http_fixture_init(struct http_fixture *fixture);
void http_fixture_start(struct http_fixture *fixture);
void http_fixture_end(struct http_fixture *fixture); /* the server may already be destroyed */

/* Minimal requests. */
#define POST_CHUNKED(path) "POST " path " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define GET(path)          "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

void http_fixture_turn(struct http_fixture *fixture, int turns);
void http_fixture_wait(struct http_fixture *fixture, const int *counter, int value);

struct http_client {
    struct http_fixture *fixture;
    int fd;
    struct ssl_st *ssl; /* NULL: plain */
    struct buf received;
    bool ended; /* by FIN, with TLS after close_notify; error is set for any other end */
    int error;
};

void http_client_dial(struct http_fixture *fixture, struct http_client *client);
void http_client_dial_unseen(struct http_fixture *fixture,
                             struct http_client *client); /* the server has not accepted it yet */
void http_client_close(struct http_client *client);
void http_client_reset(struct http_client *client);      /* closes with RST */
void http_client_half_close(struct http_client *client); /* sends FIN, still reads */
void http_client_send(struct http_client *client, const char *text);
void http_client_send_bytes(struct http_client *client, const char *bytes, size_t len);

/* For tests with one client and the default configuration: init, start, dial; and close, end. */
void http_fixture_begin(struct http_fixture *fixture, struct http_client *client);
void http_fixture_finish(struct http_fixture *fixture, struct http_client *client);

/* Each consumes what it has matched, so the next one continues after it. */
void http_client_expect(struct http_client *client, const char *text);                /* anywhere in the input */
void http_client_expect_nothing_before(struct http_client *client, const char *text); /* at the start of the input */
void http_client_expect_status(struct http_client *client, const char *status);       /* a status line: "200 OK" */
void http_client_expect_body(struct http_client *client, const char *body); /* right after the rest of the head */
bool http_client_has_nothing(struct http_client *client);  /* runs a turn; true if no byte and no end has arrived */
void http_client_expect_end(struct http_client *client);   /* FIN, with no unmatched bytes before it */
void http_client_expect_reset(struct http_client *client); /* unmatched bytes before it are ignored */

#endif
