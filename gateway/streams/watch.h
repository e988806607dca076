/* watch - one task, as the streams of this loop see it
 *
 * Invariant: every live viewer that is not waiting for room has been sent the events up to cursor.last, each once and in order.
 *
 * Redis pub/sub only announces events; the log in Redis is the truth. A message with number n is
 *
 *     delivered       if n == last + 1
 *     dropped         if n <= last
 *     a gap           if n >  last + 1: the log is read from last + 1 on (script READ)
 *
 * Messages are never buffered. While a READ is under way, only the highest announced number is kept; if the reply does not reach it,
 * another READ follows. Example: the viewers have 1 to 4, message 5 is lost, 6 arrives: READ from 5. Meanwhile 7 arrives:
 * announced = 7. The reply contains 5 and 6, which are delivered. 7 > 6, so READ from 7.
 *
 * A lost last message leaves no gap. missed_events.h finds it, after a silence or a lost connection, and the log is read.
 *
 * Viewers may be at different places. cursor.last is that of the live viewer furthest behind. Example: A has 1 to 9, B resumes
 * after 3: last becomes 3, and READ from 4. The frames 4 to 9 are built once; B gets them, A drops them because it has them. A viewer
 * that waits for room in its output does not hold back the others: watch_catch_up lowers cursor.last when it continues.
 *
 * If a reply does not continue what the viewers have (another epoch, a shorter log, another event at `last`), Redis has lost data:
 * viewers ahead of the log get `reset`, and all get the log from its start. If the task is gone, the viewers are told and closed.
 *
 * Between SUBSCRIBE and SUBMIT: a POST sends both at once, on two connections, and Redis may run SUBMIT first. Example:
 *
 *     SUBMIT runs: log = 1 (start)
 *     a worker claims the task: 2 is appended and published; no subscription exists yet
 *     SUBSCRIBE runs
 *     the reply of SUBMIT arrives: the viewer goes live with 1; 2 will never be announced
 *
 * So a subscription that is confirmed, and a viewer whose subscription was confirmed while its SUBMIT or READ was under way
 * (`asked_early`), lead to a check of the log within CHECK_SOON_MS. The check is skipped if the channel has announced the viewer's
 * last event or a later one: the subscription was active before that event, so nothing after it was lost.
 *
 * Ownership: belongs to the hub.   Threads: loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_WATCH_H
#define ARKRELAY_GATEWAY_STREAMS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/loop.h"
#include "common/task/task.h"
#include "common/task/task_event.h"
#include "gateway/streams/missed_events.h"
#include "gateway/streams/waiting_hints.h"

struct buf;
struct event_log;
struct event_log_call;
struct latency;
struct redis;
struct watch;

/* -- viewers: what a watch knows of a stream, or of another object that follows a task */

struct viewer_callbacks;

struct viewer {
    TAILQ_ENTRY(viewer) link; /* in watch->viewers */
    struct watch *watch;
    const struct viewer_callbacks *callbacks; /* set before hub_join */
    int64_t epoch, last;                      /* the last event that the client has */
    bool live;                                /* between watch_add_live and watch_remove_live */
    bool waits_for_room;                      /* its output is full; events stay in the log until watch_catch_up */
    bool asked_early;                         /* the subscription was confirmed while SUBMIT or READ was under way */
};

/* One event: its JSON, and all of it as an SSE frame. */
struct event_frame {
    int64_t n;
    enum task_event_type type;
    const char *bytes;
    size_t len;
    const char *json;
    size_t json_len;
};

enum viewer_end { VIEWER_FINAL, VIEWER_NO_TASK, VIEWER_NO_MEMORY };

/* How a watch talks to its viewers. A viewer may leave the watch in any of these calls, even as the last one. */
struct viewer_callbacks {
    void (*on_subscribed)(struct viewer *viewer);
    void (*deliver)(struct viewer *viewer, const struct event_frame *frame); /* drops it if frame->n <= viewer->last */
    void (*send_hint)(struct viewer *viewer, const struct buf *frame);       /* a frame that is not part of the log */
    void (*reset)(struct viewer *viewer, int64_t epoch); /* the client must forget its events; last becomes 0 */
    void (*end)(struct viewer *viewer, enum viewer_end why);
};

TAILQ_HEAD(viewer_list, viewer);

/* -- watches */

/* Shared by all watches of a hub. */
struct watch_context {
    struct redis *commands;
    struct missed_events *missed_events; /* holds watch->cursor; leads to watch_on_missed_events */
    struct waiting_hints *hints;         /* holds watch->hint; calls watch_on_place */
    struct latency *latency;
};

struct watch {
    /* The hub's. */
    TAILQ_ENTRY(watch) link;
    struct loop_deferred deferred;
    bool parked;                     /* in the list of watches that wait to be unsubscribed */
    bool subscribe_sent, subscribed; /* on this connection: SUBSCRIBE was sent; Redis has confirmed it */

    bool reads_last;       /* the READ under way begins with event `last`, to compare it */
    bool suspect;          /* a connection was lost: the log may be another one even if it continues from `last` */
    bool was_delayed;      /* the task was delayed once (retry or defer); later times may leave no event in the log */
    enum task_state state; /* as far as the viewers know; while it may be waiting, `hint` is listed */
    unsigned live_count;   /* of viewers */
    const struct watch_context *context;
    struct viewer_list viewers;
    struct log_cursor cursor;
    int64_t announced; /* highest number that was announced and not delivered since the last READ was sent; 0: none */
    struct event_log_call *reading;
    struct waiting_hint hint;

    char id[]; /* full id of the task */
};

struct watch *watch_create(const struct watch_context *context, const char *full_id); /* NULL: out of memory */
void watch_stop(struct watch *watch); /* no callback follows; free the watch with free() */

/* -- from the subscriber connection */

void watch_on_subscribed(struct watch *watch);
void watch_on_message(struct watch *watch, const char *element, size_t len);
void watch_on_disconnected(struct watch *watch);

/* -- from others */

void watch_on_missed_events(struct watch *watch);  /* the log differs from `cursor` */
void watch_on_commands_ready(struct watch *watch); /* reads may have failed while the connection was down */

/* For the configurations of missed_events and waiting_hints. */
const char *watch_id_of_cursor(const struct log_cursor *cursor);
const char *watch_id_of_hint(const struct waiting_hint *hint);
void watch_on_place(struct waiting_hint *entry, enum task_state state, const struct frames_waiting *hint);

/* -- from viewers */

/* The viewer has sent this log, whose task is not final, to its client. From now on it gets the events after viewer->last. */
void watch_add_live(struct watch *watch, struct viewer *viewer, const struct event_log *log);
void watch_remove_live(struct watch *watch, struct viewer *viewer);

/* The viewer has waited for room and has some now: it gets what it lacks. */
void watch_catch_up(struct watch *watch, const struct viewer *viewer);

#endif
