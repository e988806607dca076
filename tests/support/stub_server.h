/* stub_server - a server with one fixed behaviour, in the test's own loop
 *
 * It reads a complete request (or does not), sends a fixed answer, and then keeps, closes or resets the connection.
 */
#ifndef TESTS_SUPPORT_STUB_SERVER_H
#define TESTS_SUPPORT_STUB_SERVER_H

#include <openssl/types.h>
#include <sys/queue.h>

#include "common/base/buf.h"

struct evconnlistener;
struct loop;
struct peer;

enum stub_ending {
    THEN_KEEP,  /* the connection stays open */
    THEN_CLOSE, /* after the answer is sent */
    THEN_RESET,
};

enum stub_moment { AFTER_REQUEST, ON_ACCEPT };

/* The behaviour may be changed at any time. */
struct stub_server {
    struct loop *loop;
    struct evconnlistener *listener;
    LIST_HEAD(peer_list, peer) peers;
    int port;
    SSL_CTX *tls; /* NULL: plain. Borrowed */
    enum stub_moment moment;
    const char *answer; /* NULL: nothing */
    enum stub_ending ending;

    int connections, posts; /* posts: complete requests, of any method */
    int resumed;            /* posts on a connection that resumed a TLS session */
    struct buf first_request;
    void (*on_gone)(void *arg); /* a client hung up */
    void *arg;
};

void stub_server_start(struct stub_server *server, struct loop *loop);
void stub_server_stop(struct stub_server *server); /* its listener may already be freed and NULL */

#endif
