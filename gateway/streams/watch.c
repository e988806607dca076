#include "gateway/streams/watch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/task_event.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/history.h"
#include "gateway/streams/latency.h"
#include "gateway/streams/stream.h"
#include "gateway/streams/tails.h"

enum { FRAME_MAX = 96 * 1024 * 1024 /* pictures may be in it */, HINT_MAX = 1024 };

struct watch *watch_create(const struct watch_context *context, const char *full_id)
{
    size_t size = strlen(full_id) + 1;
    struct watch *watch = calloc(1, sizeof(*watch) + size);

    if (!watch)
        return NULL;
    watch->context = context;
    TAILQ_INIT(&watch->streams);
    memcpy(watch->id, full_id, size);
    return watch;
}

void watch_stop(struct watch *watch)
{
    assert(TAILQ_EMPTY(&watch->streams));
    history_cancel(watch->reading);
    watch->reading = NULL;
    tails_remove(watch->context->tails, watch);
    hints_remove(watch->context->hints, watch);
}

/* -- delivering. A stream may close and leave while it is served, and even be the last one: the watch outlives this turn. */

static void for_each_live(struct watch *watch, void (*serve)(struct stream *stream, const void *arg), const void *arg)
{
    struct stream *stream = TAILQ_FIRST(&watch->streams);

    while (stream) {
        struct stream *next = TAILQ_NEXT(stream, viewer);

        if (stream->state == STREAM_LIVE)
            serve(stream, arg);
        stream = next;
    }
}

static void serve_frame(struct stream *stream, const void *frame)
{
    stream_deliver(stream, frame);
}

struct truth { /* what the store holds now */
    int64_t epoch, length;
};

static void serve_reset(struct stream *stream, const void *arg)
{
    const struct truth *truth = arg;

    if (stream->epoch != truth->epoch || stream->last > truth->length)
        stream_reset(stream, truth->epoch);
}

static void serve_end(struct stream *stream, const void *unused)
{
    (void)unused;
    stream_close(stream, STREAM_NO_TASK);
}

static void serve_no_memory(struct stream *stream, const void *unused)
{
    (void)unused;
    stream_close(stream, STREAM_NO_MEMORY);
}

static void serve_final(struct stream *stream, const void *unused)
{
    (void)unused;
    if (!stream->waits) /* else it has events to come */
        stream_close(stream, STREAM_FINAL);
}

static void serve_hint(struct stream *stream, const void *bytes)
{
    stream_hint(stream, bytes);
}

/* -- the state */

static bool may_wait(enum task_state state)
{
    return state == TASK_QUEUED || state == TASK_DELAYED;
}

static void watch_on_state(struct watch *watch, enum task_state state)
{
    if (state == watch->state)
        return;
    watch->state = state;
    if (watch->live && may_wait(state))
        hints_add(watch->context->hints, watch);
    else
        hints_remove(watch->context->hints, watch);
}

/* Which state a task is in after an event. */
static void follow_state(struct watch *watch, const struct task_event *event)
{
    static const enum task_state after[STAGE_COUNT] = {
        [STAGE_CALLING] = TASK_RUNNING,  [STAGE_IMAGE] = TASK_RUNNING,   [STAGE_IMAGE_FAILED] = TASK_RUNNING,
        [STAGE_RETRYING] = TASK_DELAYED, [STAGE_REQUEUED] = TASK_QUEUED,
    };
    enum task_stage stage;

    if (!task_event_stage(event, &stage))
        watch_on_state(watch, after[stage]);
}

/* One that is not pending any more was taken, though no event has told so yet; one that is delayed will be pending again. */
void watch_on_place(struct watch *watch, const struct place *place)
{
    struct buf bytes;

    if (place->position <= 0) {
        if (watch->state == TASK_QUEUED)
            watch_on_state(watch, TASK_RUNNING);
        return;
    }
    watch->state = TASK_QUEUED;
    if (!place->tell)
        return;
    buf_init(&bytes, HINT_MAX);
    frames_add_hint(&bytes, watch->id, place->position, place->eta_ms);
    if (!buf_error(&bytes)) /* where memory ends, the next one will do */
        for_each_live(watch, serve_hint, &bytes);
    buf_deinit(&bytes);
}

static uint64_t sum_of(const struct watch *watch, const struct task_event *event)
{
    return tails_sum(watch->context->tails, event->json, event->json_len);
}

/* Nothing is compared with the last event of all. */
static void stand_at(struct watch *watch, const struct task_event *event)
{
    watch->last = event->n;
    watch->sum = task_event_is_final(event->type) ? 0 : sum_of(watch, event);
}

static void stand_at_unknown(struct watch *watch, int64_t n)
{
    watch->last = n;
    watch->sum = 0;
}

void watch_on_log(struct watch *watch, const struct history *history)
{
    size_t count = history_count(history);
    struct task_event event;

    watch_on_state(watch, history->state);
    if (watch->live)
        return;
    watch->sum = 0;
    if (count && !task_state_is_final(history->state) && !history_event(history, count - 1, &event) &&
        event.n == history->length)
        watch->sum = sum_of(watch, &event);
}

/* The frame is built once for everybody. */
static void deliver(struct watch *watch, const struct task_event *event)
{
    struct buf bytes;

    stand_at(watch, event);
    follow_state(watch, event);
    buf_init(&bytes, FRAME_MAX);
    task_event_write_frame(&bytes, watch->epoch, event);
    if (buf_error(&bytes))
        for_each_live(watch, serve_no_memory, NULL);
    else
        for_each_live(watch, serve_frame, &(struct stream_frame){event->n, event->type, bytes.data, bytes.len});
    buf_deinit(&bytes);
}

/* -- reading */

static void on_history(const struct history *history, int err, void *arg);

/* A read that is sent now sees whatever the channel has announced so far. */
static void read_log(struct watch *watch, bool from_last)
{
    int64_t from = from_last ? watch->last : watch->last + 1;

    if (watch->reading || !watch->live)
        return;
    watch->announced = 0;
    watch->reads_last = from_last;
    if (history_read(watch->context->commands, watch->id, from, on_history, watch, &watch->reading))
        log_debug("watch", "cannot read the log; trying again after a silence", "task=%s", watch->id);
}

static void read_on(struct watch *watch)
{
    read_log(watch, false);
}

/* Reads on, where the log still has the event that the streams stand at. */
static void compare(struct watch *watch)
{
    read_log(watch, watch->sum != 0);
}

/* Whoever has what the store does not hold forgets it; then all get the log from its start, and drop what they have. */
static void reset(struct watch *watch, const struct truth *truth)
{
    log_warn("watch", "the store lost events; sending the log anew",
             "task=%s epoch=%" PRId64 " was=%" PRId64 " last=%" PRId64, watch->id, truth->epoch, watch->epoch,
             watch->last);
    watch->epoch = truth->epoch;
    stand_at_unknown(watch, 0);
    for_each_live(watch, serve_reset, truth);
    read_on(watch);
}

static void deliver_history(struct watch *watch, const struct history *history)
{
    struct task_event event;

    for (size_t i = 0; i < history_count(history) && watch->live; i++) {
        int64_t n = history->from + (int64_t)i;

        if (n <= watch->last)
            continue;
        if (history_event(history, i, &event)) {
            log_error("watch", "an element of the log cannot be read; leaving it out", "task=%s n=%" PRId64, watch->id,
                      n);
            stand_at_unknown(watch, n);
            continue;
        }
        deliver(watch, &event);
    }
}

/* Does the log that was read from `last` on begin with another event? It says nothing where the streams have gone on meanwhile. */
static bool begins_otherwise(const struct watch *watch, const struct history *history)
{
    struct task_event event;

    return watch->last == history->from && (history_event(history, 0, &event) || sum_of(watch, &event) != watch->sum);
}

static void take_history(struct watch *watch, const struct history *history, bool reads_last)
{
    int64_t had = reads_last ? history->from : history->from - 1; /* the place of the streams when it was asked for */

    if (history->epoch != watch->epoch || history->length < had) {
        reset(watch, &(struct truth){history->epoch, history->length});
    } else if (reads_last && begins_otherwise(watch, history)) {
        reset(watch, &(struct truth){history->epoch, had - 1});
    } else if (had > watch->last) {
        read_on(watch); /* a stream that is further behind went live meanwhile */
    } else {
        watch->suspect = watch->suspect && !reads_last;
        deliver_history(watch, history);
        watch_on_state(watch, history->state);
        if (task_state_is_final(history->state) && watch->last >= history->length)
            for_each_live(watch, serve_final, NULL); /* also where the last event could not be read */
        if (watch->announced > watch->last)
            read_on(watch);
    }
}

static void on_history(const struct history *history, int err, void *arg)
{
    struct watch *watch = arg;
    bool reads_last = watch->reads_last;

    watch->reading = NULL;
    watch->reads_last = false;
    if (err == ERR_NOT_FOUND)
        for_each_live(watch, serve_end, NULL);
    else if (err)
        log_debug("watch", "the log was not read; trying again after a silence", "task=%s", watch->id);
    else
        take_history(watch, history, reads_last);
}

/* -- what happens to it */

static void doubt(struct watch *watch)
{
    if (watch->live)
        tails_doubt(watch->context->tails, watch);
}

void watch_on_subscribed(struct watch *watch)
{
    struct stream *stream = TAILQ_FIRST(&watch->streams);

    watch->announced = 0; /* what another subscription has told says nothing of what this one may have missed */
    while (stream) {
        struct stream *next = TAILQ_NEXT(stream, viewer);

        stream_on_subscribed(stream);
        stream = next;
    }
    doubt(watch); /* what came before it; nothing to do where no stream has begun */
}

void watch_on_lost(struct watch *watch)
{
    watch->suspect = true;
}

/* It has the number of the last one. Mostly it is that one: the log came first, and nothing lies between the two. Every task brings one
 * such message, so it is looked at only where there is a reason; otherwise the next comparison finds another event. */
static void hear_last(struct watch *watch, const struct task_event *event)
{
    if (watch->suspect && watch->sum && sum_of(watch, event) != watch->sum)
        compare(watch);
    else
        tails_heard(watch->context->tails, watch);
}

void watch_on_message(struct watch *watch, const char *element, size_t len)
{
    int64_t began_us = clock_monotonic_us();
    struct task_event event;

    if (task_event_parse(element, len, &event)) {
        log_warn("watch", "a message on the channel is no event; ignoring it", "task=%s", watch->id);
        return;
    }
    if (watch->live && event.n == watch->last + 1 && !(watch->suspect && watch->sum)) {
        unsigned streams = watch->live;

        watch->suspect = false;
        tails_heard(watch->context->tails, watch);
        deliver(watch, &event);
        latency_note(watch->context->latency, began_us, streams);
    } else if (watch->live && event.n == watch->last) {
        hear_last(watch, &event);
    } else if (event.n > watch->last) {
        if (event.n > watch->announced)
            watch->announced = event.n;
        read_log(watch, watch->suspect && watch->sum);
    }
}

void watch_catch_up(struct watch *watch, const struct stream *stream)
{
    if (stream->last >= watch->last)
        return;
    stand_at_unknown(watch, stream->last);
    read_on(watch);
}

void watch_on_difference(struct watch *watch)
{
    compare(watch);
}

void watch_on_commands_ready(struct watch *watch)
{
    doubt(watch); /* what should have been read meanwhile */
}

void watch_add_live(struct watch *watch, struct stream *stream)
{
    bool others = watch->live++ > 0;
    bool behind = others && stream->last < watch->last;
    bool unsure = stream->asked_early && watch->announced < stream->last;

    if (!others) {
        watch->suspect = false;
        tails_heard(watch->context->tails, watch);
    }
    if (may_wait(watch->state))
        hints_add(watch->context->hints, watch);
    if (others && stream->epoch != watch->epoch) {
        /* The store has begun the task anew, and this stream is the first to see it. */
        reset(watch, &(struct truth){stream->epoch, INT64_MAX});
        return;
    }
    if (!others || behind) {
        watch->epoch = stream->epoch;
        watch->last = stream->last;
        watch->sum = behind ? 0 : watch->sum;
    } else if (stream->last > watch->last && stream->last > watch->announced) {
        watch->announced = stream->last; /* the channel has failed to tell, or is about to */
    }
    if (behind || watch->announced > watch->last)
        read_on(watch);
    else if (unsure)
        doubt(watch);
}

void watch_remove_live(struct watch *watch)
{
    if (--watch->live)
        return;
    tails_remove(watch->context->tails, watch);
    hints_remove(watch->context->hints, watch);
    history_cancel(watch->reading);
    watch->reading = NULL;
    stand_at_unknown(watch, 0);
    watch->announced = 0; /* for whoever comes next, all that is told from now on is news */
}
