/* stream - one client's open event stream
 *
 *     JOINING --subscribed--> ASKING --the log came--> LIVE --final event, client gone, ...--> CLOSED
 *        |                      |
 *        +----------------------+--refused: an answer that is no stream--> CLOSED
 *
 * It subscribes first and reads the log once the subscription is confirmed, so nothing falls in between. A request that brings a task
 * does not wait for that: SUBMIT follows SUBSCRIBE at once, on another connection, and Redis may run it first. Then the watch makes sure
 * that nothing is missing. ASKING is SUBMIT for a request that brings a task, READ for one that names it. Nothing is answered before that:
 * until then every refusal is a proper HTTP answer, and Redis being away is one within a second. The first write holds `retry:` and the log;
 * then each event is one write, and a comment goes out after each heartbeat of silence. Whenever it has written, a stream looks
 * whether it has become too old: so no timer runs for that, and the end comes a heartbeat late at most.
 *
 * A reader may be behind by output_max bytes, and by one event more whatever its size. What follows stays in the log: the stream waits for
 * room, then asks its watch for what it lacks. So a reader that reads gets events of any size, and memory stays bounded. It is cut when its
 * socket takes no byte for STALL_MS, or while STALL_EVENTS events come.
 *
 * Ownership: streams own themselves, from stream_open to stream_close; the struct goes at the end of the turn.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_STREAM_H
#define ARKRELAY_GATEWAY_STREAMS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/loop.h"
#include "common/problem.h"
#include "common/task_event.h"
#include "common/timeouts.h"

struct buf;
struct client;
struct disconnects;
struct event_log_call;
struct http_exchange;
struct hub;
struct metrics;
struct redis;
struct streams;
struct submission;
struct submit_call;
struct submitter;
struct watch;

enum { STALL_MS = 5000, STALL_EVENTS = 32 };

enum stream_state { STREAM_JOINING, STREAM_ASKING, STREAM_LIVE, STREAM_CLOSED, STREAM_STATE_COUNT };

enum stream_reason {
    STREAM_FINAL,    /* it has delivered the task's last event */
    STREAM_ANSWERED, /* without a stream: a problem, or 204 */
    STREAM_GONE,     /* the client left */
    STREAM_TOO_SLOW, /* the client does not read */
    STREAM_DRAINING,
    STREAM_OLD,     /* it has lived its life; its client resumes */
    STREAM_NO_TASK, /* the store has lost the task */
    STREAM_NO_MEMORY,
    STREAM_REASON_COUNT,
};

struct stream {
    TAILQ_ENTRY(stream) link;   /* in streams */
    TAILQ_ENTRY(stream) viewer; /* in watch->streams */
    struct streams *streams;
    struct client *client;          /* counts it */
    struct http_exchange *exchange; /* NULL once it is answered or gone */
    struct watch *watch;
    struct timeout timer;  /* while JOINING or ASKING: the time to answer; while LIVE: the heartbeat */
    int64_t epoch, last;   /* the place of the client */
    uint32_t old_s;        /* when it is too old, on the monotonic clock; 0: never */
    uint8_t state;         /* enum stream_state */
    uint8_t on_disconnect; /* enum on_disconnect */
    bool asked_early : 1;  /* the confirmation came while it was ASKING: Redis may have answered before it subscribed */
    bool waits : 1; /* for room: `last` is where it goes on, and the timer looks whether the socket takes anything */
    uint8_t missed; /* events since the socket took a byte, while it waits */
    size_t unsent;  /* when it was looked at last, while it waits */
    struct stream_opening *opening; /* what is needed until it is LIVE, and no longer */
    struct loop_deferred deferred;
};

struct streams_config {
    struct hub *hub;
    struct redis *commands;
    struct submitter *submitter;
    struct disconnects *disconnects;
    struct metrics *metrics; /* borrowed; NULL: nobody counts */
    int64_t heartbeat_ms;
    int64_t life_ms; /* 0: for ever */
};

/* All streams of one loop. */
struct streams *streams_create(struct loop *loop, const struct streams_config *config); /* NULL when out of memory */
struct streams *streams_destroy(struct streams *streams); /* accepts NULL; no stream is open; returns NULL */

/* Ends the streams in a way that makes their clients come back at once, elsewhere. What is being submitted is answered first. */
void streams_drain(struct streams *streams);

struct stream_request {
    const char *full_id;
    struct client *client;         /* whose stream this is; outlives it */
    struct submission *submission; /* taken over; NULL: the task must exist */
    bool resumes;
    struct task_cursor cursor; /* what the client has, when it resumes */
};

/* Answers the exchange, now or later. */
void stream_open(struct streams *streams, struct http_exchange *exchange, const struct stream_request *request);

/* The server's on_room: the reader has caught up. */
void stream_on_room(void *stream);

/* The one door out. */
void stream_close(struct stream *stream, enum stream_reason reason);

/* -- for the watch */

struct stream_frame {
    int64_t n;
    enum task_event_type type;
    const char *bytes;
    size_t len;
};

void stream_on_subscribed(struct stream *stream);
void stream_deliver(struct stream *stream, const struct stream_frame *frame); /* drops what the client has already */
void stream_send_position(struct stream *stream, const struct buf *frame);    /* what is no event of the log */
/* Tells the client to forget; its place is before the first event. A stream that waits for room ends instead: its client resumes. */
void stream_reset(struct stream *stream, int64_t epoch);

#endif
