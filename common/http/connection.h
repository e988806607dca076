/* http/connection - the bytes, deadlines and caps of one client connection (private to http/)
 *
 *              first byte        head whole        answered         all sent
 *     IDLE ----------------> HEAD -------> HANDLING -------> SENDING -------> IDLE
 *                             |  \           ^   \             ^  \
 *                             |   v    body  |    v    ended   |   v  must close
 *                             |   BODY ------'  STREAMING -----'  LINGERING
 *                             v  refused
 *                          SENDING                        CLOSED, from every state
 *
 * A new connection begins in HEAD. LINGERING has sent its FIN and discards what the client still sends, for a limited time: closing
 * on unread input would be a reset, which can destroy the answer before the client reads it.
 *
 * Bytes after a request stay unread until its answer is complete. Then connection_next_request reads on, because the edge-triggered
 * event does not report them again. What was read together with the request is kept, at most HEAD_CHUNK bytes.
 *
 * A client that sends FIN after a whole request still gets the answers to all its requests. Whether it only half-closed or has gone
 * shows when something is written: a client that has gone answers with a reset. On an open stream the FIN is therefore reported to
 * on_half_closed, which writes. Under TLS a close_notify on an open stream means that the client has gone.
 *
 * Under TLS the handshake is part of HEAD and of its deadline. In LINGERING the session is there until its goodbye has been sent.
 *
 * The socket is watched edge-triggered for its whole life, so that a state that does not read costs nothing and still
 * hears of a reset. Whatever a state wants to read or write it tries when it is entered. What a handler writes goes out at the
 * end of the loop's turn, and whatever happens to the connection inside a handler's call is told and freed there too, or later.
 *
 * Ownership: the set owns its connections. A connection is freed at the end of the turn in which it closed at the earliest, and not
 *            before its handler was told or has answered.
 * Threads:   the loop's thread only.
 */
#ifndef ARKRELAY_HTTP_CONNECTION_H
#define ARKRELAY_HTTP_CONNECTION_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include "common/buf.h"
#include "common/http/chunked.h"
#include "common/http/request_parser.h"
#include "common/http/route.h"
#include "common/http/server.h"
#include "common/loop.h"
#include "common/problem.h"
#include "common/timeouts.h"

enum { REQUEST_ID_MAX = 64, SEGMENT_SIZE = 256, READ_CHUNK = 16 * 1024, DATE_SIZE = 64 };
enum { HEAD_CHUNK = 4 * 1024 /* at most this much of later requests is read together with a request */ };

enum connection_state {
    CONNECTION_HEAD,
    CONNECTION_IDLE,
    CONNECTION_BODY,
    CONNECTION_HANDLING,
    CONNECTION_STREAMING,
    CONNECTION_SENDING,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
    CONNECTION_STATE_COUNT
};

enum connection_wait { WAIT_NONE, WAIT_HEAD, WAIT_BODY, WAIT_IDLE, WAIT_WRITE, WAIT_LINGER, WAIT_COUNT };

/* What a request needs while it arrives and is handled. An idle connection has none; an open stream only if the next request has begun
 * to come, and then with nothing but its bytes. */
struct incoming {
    struct buf input;
    size_t head_len, body_len; /* body_len: decoded */
    size_t end;                /* where the next request begins; 0: the request is not whole */
    struct http_parser parser;
    struct http_chunked chunked; /* the body, where the request says so */
    struct http_request request; /* once the head is whole */
    struct http_route_match match;
    struct http_text segment;
    char decoded[SEGMENT_SIZE]; /* the segment, where it is percent-encoded */
    char request_id[REQUEST_ID_MAX + 1];
    struct buf headers; /* added by the handler, as lines */
};

/* What a handler holds. A member of its connection: there is one at a time. */
struct http_exchange {
    void (*on_closed)(void *arg);
    void *closed_arg;
    void *note;     /* the hook's */
    bool open;      /* a handler holds it */
    bool held;      /* no handler yet: the hook is not done with it */
    bool head_only; /* the answer to HEAD */
    bool chunked;
    bool wants_room; /* a stream waits for its output to shrink */
};

struct connection {
    struct http_exchange exchange;
    struct connection_set *set;
    TAILQ_ENTRY(connection) link;
    struct event event;
    struct ssl_st *ssl; /* NULL: plain */
    int fd;
    uint8_t state, wait;  /* enum connection_state, enum connection_wait */
    uint8_t burst;        /* requests served since the loop last looked at the socket */
    bool close_after : 1; /* the answer is the last one */
    bool turn_waits : 1;  /* `turn` is in the loop's list */
    bool refused : 1;     /* one too many, being told so */
    bool silent : 1;     /* nothing had come when the kernel was asked last; an event reports whatever has come since */
    bool kept_alive : 1; /* a request was answered before */
    bool empty_line : 1; /* one was ignored since then */
    bool half_closed : 1;  /* on_half_closed was called */
    uint32_t linger_end_s; /* monotonic */
    struct timeout timeout;
    struct loop_deferred turn;
    struct incoming *incoming;
    struct buf out;
    uint32_t sent; /* of out */
    uint32_t peer; /* its entry in the config's peers; 0: none */
};

TAILQ_HEAD(connection_list, connection);

/* The connections of one server and what they share. */
struct connection_set {
    struct loop *loop;
    const struct http_server_config *config;
    struct timeouts *waits[WAIT_COUNT];
    struct connection_list all;
    size_t count;   /* with an open socket */
    size_t refused; /* of them: too many, being told so */
    bool draining;
    unsigned events;      /* since on_crowd was called */
    time_t dated;         /* the second that `date` tells */
    char date[DATE_SIZE]; /* a line of every answer's head */

    void (*on_request)(struct connection *connection); /* a request is whole: answer it, now or later */
    void (*on_refused)(struct connection *connection, enum problem problem, const char *detail); /* answer it now */
    void (*on_half_closed)(struct connection *connection); /* on an open stream, once: write something */
    void (*on_crowd)(
        struct connection_set *set); /* many connections had something to say: others may wait to be accepted */

    char chunk[READ_CHUNK]; /* what was read last; whoever reads takes it before anybody else may read */
};

int connection_set_init(struct connection_set *set, struct loop *loop,
                        const struct http_server_config *config) MUST_CHECK;
void connection_set_deinit(struct connection_set *set); /* also after a failed init */
void connection_set_drain(struct connection_set *set);

/* Takes over fd, which does not block, and the entry in peers; NULL: it is closed. */
struct connection *connection_create(struct connection_set *set, int fd, uint32_t peer);

/* Answers with a problem, takes no further request. */
void connection_refuse(struct connection *connection, enum problem problem, const char *detail);

/* For whoever writes into `out`. */
void connection_turn_later(struct connection *connection);
void connection_answered(struct connection *connection); /* `out` holds the end of the answer */
void connection_stream(struct connection *connection);   /* more will follow */
bool connection_send(struct connection *connection); /* what the kernel takes, now; false: the connection is closed */

enum connection_end { END_FIN, END_RST };
void connection_abort(struct connection *connection,
                      enum connection_end how); /* what the kernel does not take at once is lost */
void connection_close(struct connection *connection, enum connection_end how, const char *why);

size_t connection_unsent(const struct connection *connection);

/* -- between the files connection*.c */

#define STATE(name) (1u << CONNECTION_##name)
bool connection_is_in(const struct connection *connection, unsigned some_states);
void connection_enter(struct connection *connection, enum connection_state next, const char *why); /* the one door */
void connection_wait_for(struct connection *connection, enum connection_wait wait);

void connection_read(struct connection *connection); /* makes what can be made of the bytes that have come */
void connection_next_request(struct connection *connection);
void connection_free_incoming(struct connection *connection);
void connection_keep_ahead(struct connection *connection); /* frees all of a request but the bytes after it */
void connection_read_later(
    struct connection *connection); /* the loop looks at the socket again, after all else that waits */

void connection_flush(struct connection *connection);
void connection_drop_output(struct connection *connection);
void connection_end_session(struct connection *connection); /* what follows is plain */
void connection_linger(struct connection *connection, const char *why);
void connection_drain(struct connection *connection);

#endif
