/* stub_server - a server that does one thing to whoever connects, in the test's own loop
 *
 * It waits for a whole POST, or not even for that, says what it was given to say, and keeps, closes or resets the connection.
 */
#ifndef TESTS_SUPPORT_STUB_SERVER_H
#define TESTS_SUPPORT_STUB_SERVER_H

#include <openssl/types.h>
#include <sys/queue.h>

#include "common/buf.h"

struct evconnlistener;
struct loop;
struct peer;

enum stub_ending {
    THEN_KEEP,  /* the connection stays open */
    THEN_CLOSE, /* once all is sent */
    THEN_RESET,
};

enum stub_moment { AFTER_REQUEST, ON_ACCEPT };

/* What it does may be changed at any time. */
struct stub_server {
    struct loop *loop;
    struct evconnlistener *listener;
    LIST_HEAD(peer_list, peer) peers;
    int port;
    SSL_CTX *tls; /* NULL: plain. Borrowed */
    enum stub_moment moment;
    const char *answer; /* NULL: nothing */
    enum stub_ending ending;

    int connections, posts; /* posts: whole requests */
    int resumed;            /* of these, on a connection with an earlier one's TLS session */
    struct buf first_request;
    void (*on_gone)(void *arg); /* a client hung up */
    void *arg;
};

void stub_server_start(struct stub_server *server, struct loop *loop);
void stub_server_stop(struct stub_server *server); /* its listener may be gone already, and NULL */

#endif
