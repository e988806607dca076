#include "gateway/streams/watch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/latency.h"
#include "gateway/tasks/event_log.h"

enum { FRAME_MAX = 96 * 1024 * 1024 /* may contain images */, HINT_MAX = 8192 };

struct watch *watch_create(const struct watch_context *context, const char *full_id)
{
    size_t size = strlen(full_id) + 1;
    struct watch *watch = calloc(1, sizeof(*watch) + size);

    if (!watch)
        return NULL;
    watch->context = context;
    TAILQ_INIT(&watch->viewers);
    memcpy(watch->id, full_id, size);
    return watch;
}

static void stop_reading(struct watch *watch)
{
    event_log_cancel(watch->reading);
    watch->reading = NULL;
}

void watch_stop(struct watch *watch)
{
    assert(TAILQ_EMPTY(&watch->viewers));
    stop_reading(watch);
    missed_events_remove(watch->context->missed_events, &watch->cursor);
    waiting_hints_remove(watch->context->hints, &watch->hint);
}

const char *watch_id_of_cursor(const struct log_cursor *cursor)
{
    return container_of(cursor, struct watch, cursor)->id;
}

const char *watch_id_of_hint(const struct waiting_hint *hint)
{
    return container_of(hint, struct watch, hint)->id;
}

/* -- telling the viewers. One may close and leave during its call, even as the last one: the watch outlives this turn of the loop. */

static void send_event(const struct watch *watch, const struct event_frame *frame)
{
    struct viewer *viewer, *next;

    TAILQ_FOREACH_SAFE (viewer, &watch->viewers, link, next)
        if (viewer->live)
            viewer->callbacks->deliver(viewer, frame);
}

static void send_hint(const struct watch *watch, const struct buf *frame)
{
    struct viewer *viewer, *next;

    TAILQ_FOREACH_SAFE (viewer, &watch->viewers, link, next)
        if (viewer->live)
            viewer->callbacks->send_hint(viewer, frame);
}

struct log_state { /* what the log in Redis is now */
    int64_t epoch, length;
};

/* Only to viewers that have events which are not in this log. */
static void send_reset(const struct watch *watch, const struct log_state *log)
{
    struct viewer *viewer, *next;

    TAILQ_FOREACH_SAFE (viewer, &watch->viewers, link, next)
        if (viewer->live && (viewer->epoch != log->epoch || viewer->last > log->length))
            viewer->callbacks->reset(viewer, log->epoch);
}

/* A viewer that waits for room lacks events, so FINAL does not end it. */
static void end_viewers(const struct watch *watch, enum viewer_end why)
{
    struct viewer *viewer, *next;

    TAILQ_FOREACH_SAFE (viewer, &watch->viewers, link, next)
        if (viewer->live && !(why == VIEWER_FINAL && viewer->waits_for_room))
            viewer->callbacks->end(viewer, why);
}

/* -- the task's state, and hints while it waits */

/* A task that was delayed once may be waiting although the last event says that it runs. */
static bool may_be_waiting(const struct watch *watch)
{
    return watch->state == TASK_QUEUED || watch->state == TASK_DELAYED ||
           (watch->state == TASK_RUNNING && watch->was_delayed);
}

static void list_for_hints(struct watch *watch)
{
    if (watch->live_count && may_be_waiting(watch))
        waiting_hints_add(watch->context->hints, &watch->hint);
    else
        waiting_hints_remove(watch->context->hints, &watch->hint);
}

static void set_state(struct watch *watch, enum task_state state)
{
    if (state == watch->state)
        return;
    watch->state = state;
    list_for_hints(watch);
}

static void follow_state(struct watch *watch, const struct task_event *event)
{
    static const enum task_state after[STAGE_COUNT] = {
        [STAGE_CALLING] = TASK_RUNNING,  [STAGE_IMAGE] = TASK_RUNNING,   [STAGE_IMAGE_FAILED] = TASK_RUNNING,
        [STAGE_RETRYING] = TASK_DELAYED, [STAGE_REQUEUED] = TASK_QUEUED,
    };
    enum task_stage stage;

    if (task_event_stage(event, &stage))
        return;
    watch->was_delayed = watch->was_delayed || stage == STAGE_RETRYING;
    set_state(watch, after[stage]);
}

/* The state in Redis may change before the event that says so arrives, or without one. */
void watch_on_place(struct waiting_hint *entry, enum task_state state, const struct frames_waiting *hint)
{
    struct watch *watch = container_of(entry, struct watch, hint);
    struct buf bytes;

    watch->state = state;
    if (!may_be_waiting(watch))
        waiting_hints_remove(watch->context->hints, &watch->hint);
    if (!hint)
        return;
    buf_init(&bytes, HINT_MAX);
    frames_add_waiting(&bytes, watch->id, hint);
    if (!buf_error(&bytes)) /* out of memory: skip this hint, the next one will do */
        send_hint(watch, &bytes);
    buf_deinit(&bytes);
}

/* -- the cursor */

static uint64_t digest_of(const struct watch *watch, const struct task_event *event)
{
    return missed_events_digest(watch->context->missed_events, event->json, event->json_len);
}

/* Nothing follows a final event, so it is never compared and needs no digest. */
static void set_cursor(struct watch *watch, const struct task_event *event)
{
    watch->cursor.last = event->n;
    watch->cursor.digest = task_event_is_final(event->type) ? 0 : digest_of(watch, event);
}

static void set_cursor_without_digest(struct watch *watch, int64_t n)
{
    watch->cursor.last = n;
    watch->cursor.digest = 0;
}

/* At the end of this log. The digest is known if the log has its last event. */
static void set_cursor_to_end(struct watch *watch, const struct event_log *log)
{
    size_t count = event_log_count(log);
    struct task_event event;

    watch->cursor.epoch = log->epoch;
    if (count && !event_log_event(log, count - 1, &event) && event.n == log->length)
        set_cursor(watch, &event);
    else
        set_cursor_without_digest(watch, log->length);
}

/* The frame is built once for all viewers. */
static void watch_deliver(struct watch *watch, const struct task_event *event)
{
    struct buf bytes;

    set_cursor(watch, event);
    follow_state(watch, event);
    buf_init(&bytes, FRAME_MAX);
    task_event_write_frame(&bytes, watch->cursor.epoch, event);
    if (buf_error(&bytes))
        end_viewers(watch, VIEWER_NO_MEMORY);
    else
        send_event(watch,
                   &(struct event_frame){event->n, event->type, bytes.data, bytes.len, event->json, event->json_len});
    buf_deinit(&bytes);
}

/* -- reading the log */

static void watch_on_read(const struct event_log *log, int err, void *arg);

/* Everything that the channel has announced so far is in the log when Redis runs this READ. So `announced` starts again from 0. */
static void read_log(struct watch *watch, bool with_last)
{
    int64_t from = with_last ? watch->cursor.last : watch->cursor.last + 1;

    if (watch->reading || !watch->live_count)
        return;
    watch->announced = 0;
    watch->reads_last = with_last;
    if (event_log_read(watch->context->commands, watch->id, from, watch_on_read, watch, &watch->reading))
        log_debug("watch", "cannot read the event log, retrying after a silence", "task=%s", watch->id);
}

static void read_from_next(struct watch *watch)
{
    read_log(watch, false);
}

/* After a lost connection, `last` + 1 does not prove that this is the same log: event `last` is compared first, if its digest is known. */
static bool must_compare(const struct watch *watch)
{
    return watch->suspect && watch->cursor.digest;
}

/* Also reads the last event that the viewers have, to compare it, if its digest is known. */
static void read_and_compare(struct watch *watch)
{
    read_log(watch, watch->cursor.digest != 0);
}

/* Viewers that have events which are not in the log forget them. Then the log is read from its start; each viewer drops what it has. */
static void reset(struct watch *watch, const struct log_state *log)
{
    log_warn("watch", "Redis lost events, sending the log again",
             "task=%s epoch=%" PRId64 " was=%" PRId64 " last=%" PRId64, watch->id, log->epoch, watch->cursor.epoch,
             watch->cursor.last);
    watch->cursor.epoch = log->epoch;
    set_cursor_without_digest(watch, 0);
    send_reset(watch, log);
    read_from_next(watch);
}

static void deliver_log(struct watch *watch, const struct event_log *log)
{
    struct task_event event;

    for (size_t i = 0; i < event_log_count(log) && watch->live_count; i++) {
        int64_t n = log->from + (int64_t)i;

        if (n <= watch->cursor.last)
            continue;
        if (event_log_event(log, i, &event)) {
            log_error("watch", "invalid element in the event log, skipping it", "task=%s n=%" PRId64, watch->id, n);
            set_cursor_without_digest(watch, n);
            continue;
        }
        watch_deliver(watch, &event);
    }
}

/* For a log that was read from `last` on: is its first event another one than the viewers have? Not comparable, and false, if
 * cursor.last has changed since the READ was sent. */
static bool first_event_differs(const struct watch *watch, const struct event_log *log)
{
    struct task_event event;

    return watch->cursor.last == log->from &&
           (event_log_event(log, 0, &event) || digest_of(watch, &event) != watch->cursor.digest);
}

/* The reply to a READ. Until it arrived, messages may have moved cursor.last on, and a viewer that is further behind may have moved it
 * back. The cases, in order:
 *
 *     another log, or a shorter one         Redis lost data: reset
 *     another event at cursor.last          Redis lost data and the log grew back: reset from before that event
 *     the READ began after what is needed   cursor.last moved back: read again, from there
 *     else                                  the log continues what the viewers have; deliver_log skips what they got meanwhile
 */
static void take_log(struct watch *watch, const struct event_log *log, bool reads_last)
{
    int64_t had = reads_last ? log->from : log->from - 1; /* cursor.last when the READ was sent */

    if (log->epoch != watch->cursor.epoch || log->length < had) {
        reset(watch, &(struct log_state){log->epoch, log->length});
    } else if (reads_last && first_event_differs(watch, log)) {
        reset(watch, &(struct log_state){log->epoch, had - 1});
    } else if (had > watch->cursor.last) {
        read_from_next(watch); /* a viewer that is further behind has gone live meanwhile */
    } else {
        watch->suspect = watch->suspect && !reads_last;
        deliver_log(watch, log);
        watch->was_delayed = log->deferred;
        set_state(watch, log->state);
        if (task_state_is_final(log->state) && watch->cursor.last >= log->length)
            end_viewers(watch, VIEWER_FINAL); /* needed if the final event was invalid and skipped */
        if (watch->announced > watch->cursor.last)
            read_from_next(watch);
    }
}

static void watch_on_read(const struct event_log *log, int err, void *arg)
{
    struct watch *watch = arg;
    bool reads_last = watch->reads_last;

    watch->reading = NULL;
    watch->reads_last = false;
    if (err == ERR_NOT_FOUND)
        end_viewers(watch, VIEWER_NO_TASK);
    else if (err)
        log_debug("watch", "reading the event log failed, retrying after a silence", "task=%s", watch->id);
    else
        take_log(watch, log, reads_last);
}

void watch_on_missed_events(struct watch *watch)
{
    read_and_compare(watch);
}

/* -- the connections */

static void check_soon(struct watch *watch)
{
    if (watch->live_count)
        missed_events_check_soon(watch->context->missed_events, &watch->cursor);
}

void watch_on_subscribed(struct watch *watch)
{
    struct viewer *viewer, *next;

    watch->announced = 0; /* announced on an earlier subscription: does not show what this one may have missed */
    TAILQ_FOREACH_SAFE (viewer, &watch->viewers, link, next)
        viewer->callbacks->on_subscribed(viewer);
    check_soon(watch); /* for events that were published before this subscription */
}

void watch_on_disconnected(struct watch *watch)
{
    watch->suspect = true;
}

void watch_on_commands_ready(struct watch *watch)
{
    check_soon(watch);
}

/* -- messages */

/* A message with number `last`. Usually it is the event that the viewers have: SUBMIT or READ returned it before its message arrived.
 * This happens once per task, so the digest is only computed after a lost connection. Otherwise the next comparison would find it. */
static void take_last(struct watch *watch, const struct task_event *event)
{
    if (must_compare(watch) && digest_of(watch, event) != watch->cursor.digest)
        read_and_compare(watch);
    else
        missed_events_heard(watch->context->missed_events, &watch->cursor);
}

void watch_on_message(struct watch *watch, const char *element, size_t len)
{
    int64_t began_us = clock_monotonic_us();
    struct task_event event;

    if (task_event_parse(element, len, &event)) {
        log_warn("watch", "invalid message on the channel, ignoring it", "task=%s", watch->id);
        return;
    }
    if (watch->live_count && event.n == watch->cursor.last + 1 && !must_compare(watch)) {
        unsigned viewers = watch->live_count;

        watch->suspect = false;
        missed_events_heard(watch->context->missed_events, &watch->cursor);
        watch_deliver(watch, &event);
        latency_note(watch->context->latency, began_us, viewers);
    } else if (watch->live_count && event.n == watch->cursor.last) {
        take_last(watch, &event);
    } else if (event.n > watch->cursor.last) {
        if (event.n > watch->announced)
            watch->announced = event.n;
        read_log(watch, must_compare(watch));
    }
}

/* -- viewers */

void watch_catch_up(struct watch *watch, const struct viewer *viewer)
{
    if (viewer->last >= watch->cursor.last)
        return;
    set_cursor_without_digest(watch, viewer->last);
    read_from_next(watch);
}

/* The first live viewer sets the cursor to the end of its log. For a further one, compared with the cursor:
 *
 *     another epoch   the task is a new one: the others get `reset`
 *     behind          the cursor moves back to it, and the log is read from there; the others drop what they have
 *     ahead           it has events that the channel has not delivered to the others: the log is read
 *     the same        nothing to do
 *
 * In the last case, and for a first viewer, the log is compared soon if the viewer may have missed a message (`unsure`).
 */
void watch_add_live(struct watch *watch, struct viewer *viewer, const struct event_log *log)
{
    struct log_cursor *cursor = &watch->cursor;
    bool others = watch->live_count++ > 0;
    bool behind = others && viewer->last < cursor->last;
    bool unsure = viewer->asked_early && watch->announced < viewer->last; /* see "Between SUBSCRIBE and SUBMIT" */

    viewer->live = true;
    watch->was_delayed = log->deferred;
    watch->state = log->state;
    list_for_hints(watch);
    if (!others) {
        watch->suspect = false;
        missed_events_heard(watch->context->missed_events, cursor);
        set_cursor_to_end(watch, log);
    }
    if (others && viewer->epoch != cursor->epoch) {
        /* The task was erased and created again, and this viewer is the first to see the new log. */
        reset(watch, &(struct log_state){viewer->epoch, INT64_MAX});
        return;
    }
    if (behind)
        set_cursor_without_digest(watch, viewer->last);
    else if (viewer->last > cursor->last && viewer->last > watch->announced)
        watch->announced = viewer->last; /* its message was lost, or is about to arrive */
    if (behind || watch->announced > cursor->last)
        read_from_next(watch);
    else if (unsure)
        check_soon(watch);
}

void watch_remove_live(struct watch *watch, struct viewer *viewer)
{
    viewer->live = false;
    if (--watch->live_count)
        return;
    missed_events_remove(watch->context->missed_events, &watch->cursor);
    waiting_hints_remove(watch->context->hints, &watch->hint);
    stop_reading(watch);
    set_cursor_without_digest(watch, 0);
    watch->announced = 0; /* the next viewer begins with the log as it is then */
}
