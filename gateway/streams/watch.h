/* watch - one task, as the streams of this loop see it
 *
 * Pub/sub only announces; the log is the truth. A watch knows how far its streams have come and compares that with what the
 * channel announces: the next number is delivered, an old one is dropped, and where numbers are missing it reads the log from
 * its place on. It also reads where tails.h has found, after a silence or a break, that it is not where the log is. Messages are
 * never buffered: while a read is on its way, only the highest number is kept.
 *
 * The place is that of the live stream which is furthest behind, but for those that wait for room in their output. Whoever is further drops what it has, so a stream that
 * joins behind the others is served by the same read as everybody.
 *
 * When the answer does not continue what the streams have (another epoch, a log that is shorter than their place, another event there), the
 * store has lost data: they are reset and get the full log. When the task is gone, they are told and closed.
 *
 * Ownership: the hub's.   Threads: loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_WATCH_H
#define ARKRELAY_GATEWAY_STREAMS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/loop.h"
#include "common/task.h"
#include "common/timeouts.h"
#include "gateway/streams/queue_positions.h"

struct frames_hint;
struct queue_positions;
struct event_log;
struct event_log_call;
struct latency;
struct redis;
struct stream;
struct missed_events;

TAILQ_HEAD(stream_list, stream);

/* What all watches of a hub share. */
struct watch_context {
    struct redis *commands;
    struct missed_events *missed_events; /* of watch->tail; finds watch_on_missed_events's */
    struct queue_positions *positions;   /* of watch->hint; calls watch_on_position */
    struct latency *latency;
};

struct watch {
    TAILQ_ENTRY(watch) link; /* the hub's, as are these: */
    bool unused;             /* it waits to be unsubscribed, and is in the list of those */
    struct loop_deferred deferred;
    bool asked, subscribed; /* SUBSCRIBE was sent on this connection; it was confirmed */

    const struct watch_context *context;
    struct stream_list streams;
    unsigned live; /* how many of them are live */

    int64_t epoch, last; /* the place */
    uint64_t sum;        /* of the event there, as missed_events_digest makes it; 0: not known, or not compared */
    int64_t announced;   /* highest number that was told, but not delivered, since the last read was sent */
    struct event_log_call *reading;
    bool reads_last;     /* from `last` on, which has to be what the streams have */
    bool suspect;        /* the connection was away: the log may be another one, though it goes on from `last` */
    struct timeout tail; /* tails.h's, as is this: */
    bool doubted;
    enum task_state state; /* as far as the streams know; while it may wait and any is live, it is among the hints */
    bool put_back;         /* it was put back before: then the log does not tell of every time that it waits */
    struct queue_position hint;

    char id[]; /* full id of the task */
};

struct watch *watch_create(const struct watch_context *context, const char *full_id); /* NULL: out of memory */
void watch_stop(struct watch *watch); /* nothing happens to it any more; it can be freed with free() */

void watch_on_subscribed(struct watch *watch);
void watch_on_message(struct watch *watch, const char *element, size_t len);
void watch_on_missed_events(struct watch *watch); /* the log is not what the streams have */
void watch_on_commands_ready(struct watch *watch);

/* The connection is away. */
void watch_on_connection_lost(struct watch *watch);

/* A stream is to go live behind this log. */
void watch_on_log(struct watch *watch, const struct event_log *log);

/* Where the task stands now. */
struct position_notice {
    enum task_state state;          /* TASK_QUEUED, TASK_DELAYED, or TASK_RUNNING for one that does not wait */
    const struct frames_hint *tell; /* what the viewers are to hear; NULL: nothing */
};
void watch_on_position(struct watch *watch, const struct position_notice *place);

/* The stream has begun and stands at its own epoch and last: from now on it gets what follows. */
void watch_add_live(struct watch *watch, struct stream *stream);
void watch_remove_live(struct watch *watch);

/* The stream has waited for room, and goes on: it gets what it lacks. */
void watch_catch_up(struct watch *watch, const struct stream *stream);

#endif
