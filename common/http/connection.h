/* http/connection - one client connection: socket, TLS session, states, deadlines and buffers (private to http/)
 *
 *            first byte       head complete       answered        all sent
 *     IDLE ---------------> HEAD -------> HANDLING -------> SENDING -------> IDLE
 *                            |  \         ^ |  \             ^  \
 *                            |   v   body | v   v    ended   |   v  last answer
 *                            |   BODY -----'  STREAMING -----'  LINGERING
 *                            v  refused                           ^
 *                         SENDING      HANDLING, STREAMING -------' aborted         CLOSED, from every state
 *
 * A handler that takes the body itself is called before the body: its request goes from HEAD to HANDLING, to BODY when it takes the body,
 * and back to HANDLING.
 *
 * A new connection starts in HEAD, and its TLS handshake is part of HEAD. LINGERING has sent FIN and discards input for a limited
 * time: closing a socket with unread input sends a reset, which can destroy the answer before the client reads it
 * (RFC 9112, section 9.6).
 *
 * Pipelining (RFC 9112, section 9.3.2): one request at a time. Later requests stay in the kernel until the answer is complete, except
 * for at most HEAD_CHUNK bytes that were read together with the current one.
 *
 * Half-close: a client that sends FIN after a complete request still gets its answer. Only a write can show whether the client is gone,
 * because a client that is gone answers with a reset. A FIN on an open stream is therefore reported to on_half_closed, which writes.
 * Under TLS, close_notify on an open stream means that the client is gone.
 *
 * Events: the socket is watched edge-triggered in both directions for its whole life. A state that does not read costs nothing and
 * still learns of a reset. The price is that a state must try to read or write when it is entered, because readiness is not
 * reported twice.
 *
 * End of turn: output is sent, on_closed is called and memory is freed at the end of the loop's turn, never inside a call that a
 * handler makes.
 *
 * Ownership: the set owns its connections. A closed connection is freed at the end of the turn, or later if its handler has not
 *            answered and did not set on_closed.
 * Threads:   the loop's thread only.   Units: bytes.
 * Errors:    every failure closes the connection; the reason is in the debug log.
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

#include "common/base/loop.h"
#include "common/base/problem.h"
#include "common/base/timeouts.h"
#include "common/http/incoming.h"
#include "common/http/output.h"
#include "common/http/server_config.h"

enum { DATE_SIZE = 64 };

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

enum connection_deadline {
    DEADLINE_NONE,
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_TAKEN_BODY,
    DEADLINE_IDLE,
    DEADLINE_WRITE,
    DEADLINE_LINGER,
    DEADLINE_COUNT
};

/* What a handler is given. There is one at a time, so it is a member of its connection. */
struct http_exchange {
    void (*on_closed)(void *arg);
    void *handler_arg;                  /* of on_closed and on_room */
    void (*on_room)(void *handler_arg); /* NULL: the config's */
    void *note;                         /* set by the hook for the handler */
    bool open;                          /* a handler or the hook has it */
    bool held;                          /* the hook suspended it before routing */
    bool head_only;                     /* the answer to HEAD */
    bool chunked;
    bool sized; /* a stream with Content-Length */
    bool waits_for_room;
    bool half_close_is_gone;
    bool takes_space; /* the stream is not an event stream: it is probed with a space */
};

/* A handler that wants to know whether its answer was received. It outlives the exchange. */
struct delivery {
    void (*done)(bool whole, void *arg);
    void *arg;
    struct connection *connection;
    struct timeout timer; /* runs after the answer's last byte was written */
};

struct connection {
    struct http_exchange exchange;
    struct connection_set *set;
    TAILQ_ENTRY(connection) link;
    struct event event;
    struct ssl_st *ssl; /* NULL: plain, or the client has sent nothing yet */
    int fd;
    uint8_t state, deadline;     /* enum connection_state, enum connection_deadline */
    uint8_t requests_in_turn;    /* answered since the last event */
    bool close_after_answer : 1; /* the current answer is the last one */
    bool turn_end_scheduled : 1; /* `turn_end` is in the loop's list */
    bool over_limit : 1;         /* accepted only to be refused with 503 */
    bool socket_is_empty : 1;    /* poll(2) found nothing; an event reports whatever arrives after it */
    bool answered_before : 1;    /* an earlier request was answered */
    bool empty_line_ignored : 1; /* an empty line was ignored since the last request */
    bool half_close_reported : 1;
    bool failed : 1;        /* the socket: reset by the client, mostly */
    uint32_t linger_end_s;  /* monotonic */
    uint32_t address_entry; /* in the config's address_limit; 0: not counted */
    struct timeout timeout;
    struct loop_deferred turn_end;
    /* While a request arrives and is handled; NULL: no byte of a request is here. It is freed when the connection becomes idle. An open
     * stream has one only if bytes of the next request were read, and then it has only those bytes. */
    struct incoming_request *incoming;
    struct http_output output;
    struct delivery *delivery; /* of the current or of the last answer; NULL: no handler has asked */
};

TAILQ_HEAD(connection_list, connection);

/* The connections of one server, and what they share. */
struct connection_set {
    struct loop *loop;
    const struct http_server_config *config;
    struct timeouts *deadlines[DEADLINE_COUNT];
    struct timeouts *deliveries;
    struct connection_list all;
    size_t count;            /* connections with an open socket */
    size_t over_limit_count; /* how many of them are over_limit */
    bool draining;
    unsigned events;           /* since on_many_events was called */
    time_t date_s;             /* the second in `date_line` */
    char date_line[DATE_SIZE]; /* the Date header of every answer */

    /* Callbacks; none may be NULL. */
    void (*on_request)(
        struct connection *connection); /* a request is complete, or its body can be taken: answer it, now or later */
    void (*on_refused)(struct connection *connection, enum problem problem, const char *detail); /* answer it now */
    void (*on_half_closed)(struct connection *connection); /* on an open stream, once: write something */
    void (*on_many_events)(struct connection_set *set);    /* the loop is busy: accept waiting connections */

    char read_buf[READ_CHUNK]; /* the caller that reads into it must consume it before another connection reads */
};

/* The caller sets the callbacks. On failure it calls connection_set_deinit. */
int connection_set_init(struct connection_set *set, struct loop *loop,
                        const struct http_server_config *config) MUST_CHECK;
void connection_set_deinit(struct connection_set *set);
void connection_set_drain(struct connection_set *set); /* closes idle connections; every answer is the last one */

/* Takes over fd, which must be non-blocking, and the entry in address_limit. NULL when out of memory; fd is closed then. */
struct connection *connection_create(struct connection_set *set, int fd, uint32_t address_entry);

/* Answers with a problem through on_refused. The connection closes after it. */
void connection_refuse(struct connection *connection, enum problem problem, const char *detail);

/* The handler takes the body; see http_body_take. No-op for a closed connection. */
void connection_take_body(struct connection *connection, int64_t body_max);

/* For the writer of `output`. Each of the first three sends at the end of the turn. */
void connection_schedule_turn_end(struct connection *connection);
void connection_finish_answer(struct connection *connection); /* `output` has the end of the answer */
void connection_begin_stream(struct connection *connection);  /* more output will follow */
bool connection_send(
    struct connection *connection); /* sends now what the kernel takes; false: the connection is closed */
size_t connection_unsent(const struct connection *connection);

/* See http_exchange_on_delivered. A question about an earlier answer is answered now. */
void connection_watch_delivery(struct connection *connection, void (*done)(bool whole, void *arg), void *arg);

enum connection_end { END_FIN, END_RST };
/* Ends an answer that is not complete: sends what the kernel takes now, discards the rest. */
void connection_abort(struct connection *connection, enum connection_end how);
void connection_close(struct connection *connection, enum connection_end how, const char *why);

#endif
