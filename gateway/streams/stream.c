#include "gateway/streams/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/base/sse.h"
#include "common/base/timeouts.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "common/task/task.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/response/respond.h"
#include "gateway/response/spending.h"
#include "gateway/streams/disconnects.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/hub.h"
#include "gateway/streams/watch.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/submit.h"

enum {
    ANSWER_WITHIN_MS = 900, /* a client gets a 503 within a second if Redis does not reply */
    STALL_MS = 5000,
    STALL_EVENTS = 32,
    REPLAY_MAX = 256 * 1024 * 1024, /* bytes of one log as frames; may contain images */
    FAREWELL_MAX = 2048,
    COMMENT_MAX = 64,
};

#define LIFE_JITTER 0.1 /* share of a stream's life */

enum stream_state { STREAM_JOINING, STREAM_ASKING, STREAM_LIVE, STREAM_CLOSED, STREAM_STATE_COUNT };

enum stream_reason {
    STREAM_FINAL,    /* the task's final event was delivered */
    STREAM_ANSWERED, /* with a plain response: a problem, or 204 */
    STREAM_GONE,     /* the client disconnected */
    STREAM_TOO_SLOW, /* the client does not read */
    STREAM_DRAINING,
    STREAM_OLD,     /* it has reached life_ms; the client resumes */
    STREAM_NO_TASK, /* the task is no longer in Redis */
    STREAM_NO_MEMORY,
    STREAM_REASON_COUNT,
};

struct stream {
    TAILQ_ENTRY(stream) link; /* in streams->all */
    struct viewer viewer;     /* the watch's side of this stream, with its cursor */
    struct streams *streams;
    struct client *client;
    struct http_exchange *exchange; /* NULL once it is answered or closed */
    struct timeout timer;           /* JOINING, ASKING: answers; LIVE: heartbeats, or stalls while it waits for room */
    uint32_t old_s;                 /* end of its life on the monotonic clock, in seconds; 0: never */
    uint8_t state;                  /* enum stream_state */
    uint8_t on_disconnect;          /* enum on_disconnect */
    uint8_t missed;                 /* while it waits for room: events since the socket last took a byte */
    size_t unsent;                  /* while it waits for room: unsent bytes at the last look */
    struct stream_opening *opening; /* NULL once it is LIVE */
    struct loop_deferred deferred;
};

/* What a stream needs until it is LIVE. */
struct stream_opening {
    struct submission *submission; /* NULL: the task must exist */
    bool resumes;                  /* the client has the events up to `cursor` */
    struct task_cursor cursor;
    bool reset; /* the cursor is not in the log: send `reset` and the whole log */
    struct submit_call *submitting;
    struct event_log_call *reading;
    const struct event_log *log; /* what was sent; set while the stream goes LIVE */
};

TAILQ_HEAD(all_streams, stream);

struct streams {
    struct loop *loop;
    struct streams_config config;
    struct timeouts *answers;    /* JOINING and ASKING */
    struct timeouts *heartbeats; /* LIVE */
    struct timeouts *stalls;     /* LIVE, waiting for room */
    struct all_streams all;
    bool draining;
};

static const char *const reason_names[STREAM_REASON_COUNT] = {
    [STREAM_FINAL] = "final",         [STREAM_ANSWERED] = "answered", [STREAM_GONE] = "client-gone",
    [STREAM_TOO_SLOW] = "too-slow",   [STREAM_DRAINING] = "draining", [STREAM_NO_TASK] = "task-gone",
    [STREAM_NO_MEMORY] = "no-memory", [STREAM_OLD] = "old",
};

static struct stream *stream_of(struct viewer *viewer)
{
    return container_of(viewer, struct stream, viewer);
}

static const char *id_of(const struct stream *stream)
{
    return stream->viewer.watch->id;
}

/* -- states */

static void start_asking(struct stream *stream);
static void go_live(struct stream *stream);
static void stream_leave(struct stream *stream);

#define STATE(name) (1u << STREAM_##name)

/* clang-format off */
static const struct {
    const char *name;
    unsigned next; /* the states that may follow */
    void (*on_enter)(struct stream *stream);
} states[STREAM_STATE_COUNT] = {
    [STREAM_JOINING] = { "joining", STATE(ASKING) | STATE(CLOSED), NULL },
    [STREAM_ASKING]  = { "asking",  STATE(LIVE) | STATE(CLOSED),   start_asking },
    [STREAM_LIVE]    = { "live",    STATE(CLOSED),                 go_live },
    [STREAM_CLOSED]  = { "closed",  0,                             stream_leave },
};
/* clang-format on */

/* The only function that changes the state. */
static void stream_enter(struct stream *stream, enum stream_state next)
{
    assert(states[stream->state].next & 1u << next);
    log_debug("stream", "enters a state", "task=%s from=%s to=%s", id_of(stream), states[stream->state].name,
              states[next].name);
    stream->state = (uint8_t)next;
    if (states[next].on_enter)
        states[next].on_enter(stream);
}

/* -- writing */

/* Drops the bytes if the reader is behind, and after an error of the buffer: half a frame would be worse than none. */
static void write_frames(struct stream *stream, const struct buf *bytes)
{
    if (!stream->exchange || !bytes->len || buf_error(bytes))
        return;
    if (!stream->viewer.waits_for_room && !http_stream_is_behind(stream->exchange))
        http_stream_write(stream->exchange, bytes->data, bytes->len);
}

/* kind: an event type or an enum sse_kind. */
static void count_frames(const struct stream *stream, unsigned kind, unsigned count)
{
    metrics_add(stream->streams->config.metrics, SAMPLE(METRIC_SSE_EVENTS, kind), count);
}

/* -- closing */

static void free_stream(void *stream)
{
    free(stream);
}

static void write_farewell(struct stream *stream, enum stream_reason reason)
{
    struct buf bytes;

    buf_init(&bytes, FAREWELL_MAX);
    if (reason == STREAM_DRAINING || reason == STREAM_OLD) {
        frames_add_handover_retry(&bytes, random_unit());
    } else if (reason == STREAM_NO_TASK) {
        frames_add_reset(&bytes, id_of(stream), RESET_NO_TASK);
        count_frames(stream, SSE_RESET, 1);
    }
    write_frames(stream, &bytes);
    buf_deinit(&bytes);
}

static void end_response(struct stream *stream, enum stream_reason reason)
{
    struct http_exchange *exchange = stream->exchange;

    if (!exchange)
        return;
    if (reason == STREAM_NO_MEMORY) {
        http_abort(exchange, HTTP_ABORT_FIN);
    } else {
        write_farewell(stream, reason);
        if (reason == STREAM_OLD)
            http_close_after(exchange); /* so that the client may reconnect to another gateway */
        http_stream_end(exchange);
    }
    stream->exchange = NULL;
}

static void opening_destroy(struct stream *stream)
{
    struct stream_opening *opening = stream->opening;

    if (!opening)
        return;
    submit_cancel(opening->submitting);
    event_log_cancel(opening->reading);
    submission_destroy(opening->submission);
    free(opening);
    stream->opening = NULL;
}

/* The only way to end a stream. on_disconnect is applied if the client left a LIVE stream. If it left earlier, the submitter reports
 * the task as abandoned when SUBMIT has replied. */
static void stream_close(struct stream *stream, enum stream_reason reason)
{
    const struct streams_config *config = &stream->streams->config;
    struct watch *watch = stream->viewer.watch; /* outlives this turn of the loop */
    bool left = stream->state == STREAM_LIVE && (reason == STREAM_GONE || reason == STREAM_TOO_SLOW);

    if (stream->state == STREAM_CLOSED)
        return;
    log_debug("stream", "closing", "task=%s reason=%s last=%lld", watch->id, reason_names[reason],
              (long long)stream->viewer.last);
    end_response(stream, reason);
    if (stream->state == STREAM_LIVE) {
        timeouts_cancel(stream->viewer.waits_for_room ? stream->streams->stalls : stream->streams->heartbeats,
                        &stream->timer);
        watch_remove_live(watch, &stream->viewer);
        metrics_add(config->metrics, SAMPLE(METRIC_SSE_STREAMS), -1);
    } else {
        timeouts_cancel(stream->streams->answers, &stream->timer);
    }
    stream_enter(stream, STREAM_CLOSED);
    if (left)
        disconnects_apply(config->disconnects, watch->id, (enum on_disconnect)stream->on_disconnect);
}

static void stream_leave(struct stream *stream)
{
    struct streams *streams = stream->streams;

    opening_destroy(stream);
    client_leave_stream(stream->client);
    hub_leave(streams->config.hub, &stream->viewer);
    TAILQ_REMOVE(&streams->all, stream, link);
    loop_defer(streams->loop, &stream->deferred, free_stream, stream);
}

static void stream_on_closed(void *arg)
{
    struct stream *stream = arg;

    stream->exchange = NULL;
    stream_close(stream, stream->viewer.waits_for_room ? STREAM_TOO_SLOW : STREAM_GONE);
}

/* -- refusing: a plain HTTP response, before anything of the stream was sent */

static void stream_refuse_for(struct stream *stream, enum problem problem, int64_t wait_ms)
{
    respond_problem_after(stream->exchange, problem, wait_ms);
    stream->exchange = NULL;
    stream_close(stream, STREAM_ANSWERED);
}

static void stream_refuse(struct stream *stream, enum problem problem)
{
    stream_refuse_for(stream, problem, 0);
}

static void stream_on_answer_timeout(struct timeout *timer, void *unused)
{
    (void)unused;
    stream_refuse(container_of(timer, struct stream, timer), PROBLEM_STORE_UNAVAILABLE);
}

/* The client has all events, including the final one. 204 makes an EventSource stop reconnecting. */
static void respond_complete(struct stream *stream)
{
    http_respond(stream->exchange, 204, NULL, NULL, 0);
    stream->exchange = NULL;
    stream_close(stream, STREAM_ANSWERED);
}

/* -- ASKING: SUBMIT or READ, then the first write */

static void stream_write_head(struct stream *stream)
{
    http_add_header(stream->exchange, "Cache-Control", "no-store, no-transform");
    http_add_header(stream->exchange, "X-Accel-Buffering", "no");
    http_stream_begin(stream->exchange, 200, "text/event-stream; charset=utf-8");
}

static void add_first_frames(struct buf *out, const struct stream *stream, const struct event_log *log)
{
    unsigned added[EVENT_TYPE_COUNT] = {0};

    frames_add_retry(out, random_unit());
    if (stream->opening->reset) {
        frames_add_reset(out, id_of(stream), RESET_REPLAY);
        count_frames(stream, SSE_RESET, 1);
    }
    frames_add_log(out, id_of(stream), log, added);
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++)
        count_frames(stream, type, added[type]);
}

/* `log` is the part of the log that the client lacks. */
static void stream_begin(struct stream *stream, const struct event_log *log)
{
    struct buf bytes;

    stream_write_head(stream);
    buf_init(&bytes, REPLAY_MAX);
    add_first_frames(&bytes, stream, log);
    stream->viewer.epoch = log->epoch;
    stream->viewer.last = log->length;
    if (buf_error(&bytes)) {
        stream_close(stream, STREAM_NO_MEMORY);
    } else {
        http_stream_write(stream->exchange, bytes.data, bytes.len);
        stream->opening->log = log;
        if (task_state_is_final(log->state))
            stream_close(stream, STREAM_FINAL);
        else
            stream_enter(stream, STREAM_LIVE);
    }
    buf_deinit(&bytes);
}

static bool has_cursor(const struct event_log *log, const struct task_cursor *cursor)
{
    return cursor->epoch == log->epoch && cursor->n <= log->length;
}

/* SUBMIT returns the whole log. A client library that repeats its POST after a lost connection has sent Last-Event-ID. */
static void begin_after_submit(struct stream *stream, const struct event_log *log)
{
    struct stream_opening *opening = stream->opening;
    struct event_log rest = *log;

    if (opening->resumes && has_cursor(log, &opening->cursor))
        rest = event_log_after(log, opening->cursor.n);
    else
        opening->reset = opening->resumes;
    stream_begin(stream, &rest);
}

static void stream_on_submitted(const struct submit_result *result, void *arg)
{
    struct stream *stream = arg;

    stream->opening->submitting = NULL;
    if (result->images_left >= 0)
        admission_add_image_limit(stream->exchange, result->images_left, result->day_left_ms);
    if (result->spending)
        spending_add_header(stream->exchange, result->spending);
    if (result->log)
        begin_after_submit(stream, result->log);
    else
        stream_refuse_for(stream, submit_problem(result->outcome), result->day_left_ms);
}

/* READ began after the cursor. If the cursor is not in this log, read again from the start. */
static void stream_on_read(const struct event_log *log, int err, void *arg)
{
    struct stream *stream = arg;
    struct stream_opening *opening = stream->opening;

    opening->reading = NULL;
    if (err) {
        stream_refuse(stream, err == ERR_NOT_FOUND ? PROBLEM_TASK_NOT_FOUND : PROBLEM_STORE_UNAVAILABLE);
    } else if (!opening->resumes) {
        stream_begin(stream, log);
    } else if (!has_cursor(log, &opening->cursor)) {
        opening->resumes = false;
        opening->reset = true;
        start_asking(stream);
    } else if (opening->cursor.n == log->length && task_state_is_final(log->state)) {
        respond_complete(stream);
    } else {
        stream_begin(stream, log);
    }
}

static void start_asking(struct stream *stream)
{
    const struct streams_config *config = &stream->streams->config;
    struct stream_opening *opening = stream->opening;
    int64_t from = opening->resumes ? opening->cursor.n + 1 : 1;
    int err;

    if (opening->submission)
        err = submit_start(config->submitter, opening->submission, stream_on_submitted, stream, &opening->submitting);
    else
        err = event_log_read(config->commands, id_of(stream), from, stream_on_read, stream, &opening->reading);
    if (err)
        stream_refuse(stream, PROBLEM_STORE_UNAVAILABLE);
}

/* A GET has waited for this. A POST has not, and its SUBMIT may have run before the subscription: the watch then compares its log. */
static void stream_on_subscribed(struct viewer *viewer)
{
    struct stream *stream = stream_of(viewer);

    if (stream->state == STREAM_JOINING)
        stream_enter(stream, STREAM_ASKING);
    else if (stream->state == STREAM_ASKING)
        viewer->asked_early = true;
}

/* -- LIVE: heartbeats and age */

static void restart_heartbeat(struct stream *stream)
{
    if (!stream->viewer.waits_for_room)
        timeouts_start(stream->streams->heartbeats, &stream->timer);
}

/* Jittered: streams that were opened together should not end together. */
static uint32_t end_of_life(const struct streams_config *config)
{
    double life_ms = (double)config->life_ms * (1 - LIFE_JITTER * random_unit());

    return config->life_ms ? (uint32_t)((clock_monotonic_ms() + (int64_t)life_ms) / 1000 + 1) : 0;
}

/* May close the stream: call it last. */
static void close_if_old(struct stream *stream)
{
    if (stream->state == STREAM_LIVE && stream->old_s && clock_monotonic_ms() / 1000 >= stream->old_s)
        stream_close(stream, STREAM_OLD);
}

static void stream_on_heartbeat(struct timeout *timer, void *arg)
{
    struct stream *stream = container_of(timer, struct stream, timer);
    const struct streams *streams = arg;
    bool connected = redis_is_ready(streams->config.commands) && hub_is_ready(streams->config.hub);
    struct buf comment;

    buf_init(&comment, COMMENT_MAX);
    sse_write_comment(&comment, connected ? "keep-alive" : "degraded");
    write_frames(stream, &comment);
    buf_deinit(&comment);
    restart_heartbeat(stream);
    close_if_old(stream);
}

static void go_live(struct stream *stream)
{
    timeouts_cancel(stream->streams->answers, &stream->timer);
    restart_heartbeat(stream);
    metrics_add(stream->streams->config.metrics, SAMPLE(METRIC_SSE_STREAMS), 1);
    stream->old_s = end_of_life(&stream->streams->config);
    watch_add_live(stream->viewer.watch, &stream->viewer, stream->opening->log);
    opening_destroy(stream);
    if (stream->streams->draining)
        stream_close(stream, STREAM_DRAINING);
}

/* -- LIVE: slow readers */

static void wait_for_room(struct stream *stream)
{
    timeouts_cancel(stream->streams->heartbeats, &stream->timer);
    stream->viewer.waits_for_room = true;
    stream->missed = 0;
    stream->unsent = http_exchange_unsent(stream->exchange);
    timeouts_start(stream->streams->stalls, &stream->timer);
    http_stream_wait_for_room(stream->exchange);
}

void stream_on_room(void *arg)
{
    struct stream *stream = arg;

    timeouts_cancel(stream->streams->stalls, &stream->timer);
    stream->viewer.waits_for_room = false;
    restart_heartbeat(stream);
    watch_catch_up(stream->viewer.watch, &stream->viewer);
}

static bool socket_took_bytes(struct stream *stream)
{
    size_t unsent = http_exchange_unsent(stream->exchange);
    bool taken = unsent < stream->unsent;

    stream->unsent = unsent;
    return taken;
}

static void stream_cut(struct stream *stream)
{
    struct http_exchange *exchange = stream->exchange;

    stream->exchange = NULL;
    http_abort(exchange, HTTP_ABORT_RST);
    stream_close(stream, STREAM_TOO_SLOW);
}

static void stream_on_stall_timeout(struct timeout *timer, void *unused)
{
    struct stream *stream = container_of(timer, struct stream, timer);

    (void)unused;
    if (!socket_took_bytes(stream))
        stream_cut(stream);
    else
        timeouts_start(stream->streams->stalls, &stream->timer);
}

/* An event was published that stays in the log for now. */
static void miss_event(struct stream *stream)
{
    stream->missed = socket_took_bytes(stream) ? 0 : stream->missed + 1;
    if (stream->missed >= STALL_EVENTS)
        stream_cut(stream);
}

/* -- LIVE: what the watch sends */

static void stream_deliver(struct viewer *viewer, const struct event_frame *frame)
{
    struct stream *stream = stream_of(viewer);

    if (frame->n <= viewer->last)
        return;
    if (!viewer->waits_for_room && http_stream_is_behind(stream->exchange))
        wait_for_room(stream);
    if (viewer->waits_for_room) {
        miss_event(stream);
        return;
    }
    viewer->last = frame->n;
    restart_heartbeat(stream);
    http_stream_write(stream->exchange, frame->bytes, frame->len);
    count_frames(stream, frame->type, 1);
    if (task_event_is_final(frame->type))
        stream_close(stream, STREAM_FINAL);
    close_if_old(stream);
}

static void stream_send_hint(struct viewer *viewer, const struct buf *frame)
{
    struct stream *stream = stream_of(viewer);

    if (viewer->waits_for_room)
        return;
    restart_heartbeat(stream);
    write_frames(stream, frame);
    count_frames(stream, SSE_HINT, 1);
    close_if_old(stream);
}

/* A stream that waits for room cannot take `reset` in order, so it ends. Its client resumes and gets the reset then. */
static void stream_reset(struct viewer *viewer, int64_t epoch)
{
    struct stream *stream = stream_of(viewer);
    struct buf bytes;

    if (viewer->waits_for_room || http_stream_is_behind(stream->exchange)) {
        stream_close(stream, STREAM_OLD);
        return;
    }
    viewer->epoch = epoch;
    viewer->last = 0;
    buf_init(&bytes, FAREWELL_MAX);
    frames_add_reset(&bytes, id_of(stream), RESET_REPLAY);
    if (buf_error(&bytes))
        stream_close(stream, STREAM_NO_MEMORY); /* without `reset` the client would drop the log that follows */
    else
        write_frames(stream, &bytes);
    count_frames(stream, SSE_RESET, 1);
    buf_deinit(&bytes);
}

static void stream_end(struct viewer *viewer, enum viewer_end why)
{
    static const enum stream_reason reasons[] = {
        [VIEWER_FINAL] = STREAM_FINAL, [VIEWER_NO_TASK] = STREAM_NO_TASK, [VIEWER_NO_MEMORY] = STREAM_NO_MEMORY};

    stream_close(stream_of(viewer), reasons[why]);
}

static const struct viewer_callbacks viewer_callbacks = {
    .on_subscribed = stream_on_subscribed,
    .deliver = stream_deliver,
    .send_hint = stream_send_hint,
    .reset = stream_reset,
    .end = stream_end,
};

/* -- opening */

static struct stream *stream_create(struct streams *streams, struct http_exchange *exchange,
                                    const struct stream_request *request)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct stream_opening *opening = calloc(1, sizeof(*opening));

    if (!stream || !opening) {
        free(stream);
        free(opening);
        return NULL;
    }
    *opening = (struct stream_opening){
        .submission = request->submission, .resumes = request->resumes, .cursor = request->cursor};
    stream->viewer.callbacks = &viewer_callbacks;
    stream->streams = streams;
    stream->exchange = exchange;
    stream->client = request->client;
    stream->opening = opening;
    stream->state = STREAM_JOINING;
    if (request->submission)
        stream->on_disconnect = (uint8_t)request->submission->on_disconnect;
    return stream;
}

void stream_open(struct streams *streams, struct http_exchange *exchange, const struct stream_request *request)
{
    enum problem problem = streams->draining ? PROBLEM_DRAINING : PROBLEM_STORE_UNAVAILABLE;
    bool is_ready = !streams->draining && redis_is_ready(streams->config.commands) && hub_is_ready(streams->config.hub);
    bool is_counted = is_ready && client_enter_stream(request->client);
    struct stream *stream = is_counted ? stream_create(streams, exchange, request) : NULL;

    if (is_ready && !stream)
        problem = is_counted ? PROBLEM_INTERNAL : PROBLEM_TOO_MANY_STREAMS;
    if (!stream) {
        if (is_counted)
            client_leave_stream(request->client);
        submission_destroy(request->submission);
        respond_problem(exchange, problem, NULL);
        return;
    }
    if (hub_join(streams->config.hub, &stream->viewer, request->full_id)) {
        client_leave_stream(stream->client);
        opening_destroy(stream);
        free(stream);
        respond_problem(exchange, problem, NULL);
        return;
    }
    TAILQ_INSERT_TAIL(&streams->all, stream, link);
    timeouts_start(streams->answers, &stream->timer);
    http_exchange_on_closed(exchange, stream_on_closed, stream);
    if (request->submission || stream->viewer.watch->subscribed) /* else stream_on_subscribed continues */
        stream_enter(stream, STREAM_ASKING);
}

/* -- all streams of a loop */

struct streams *streams_create(struct loop *loop, const struct streams_config *config)
{
    struct streams *streams = calloc(1, sizeof(*streams));

    if (!streams)
        return NULL;
    streams->loop = loop;
    streams->config = *config;
    TAILQ_INIT(&streams->all);
    streams->answers = timeouts_create(loop, ANSWER_WITHIN_MS, stream_on_answer_timeout, NULL);
    streams->heartbeats = timeouts_create(loop, config->heartbeat_ms, stream_on_heartbeat, streams);
    streams->stalls = timeouts_create(loop, STALL_MS, stream_on_stall_timeout, NULL);
    return streams->answers && streams->heartbeats && streams->stalls ? streams : streams_destroy(streams);
}

struct streams *streams_destroy(struct streams *streams)
{
    if (!streams)
        return NULL;
    assert(TAILQ_EMPTY(&streams->all));
    timeouts_destroy(streams->answers);
    timeouts_destroy(streams->heartbeats);
    timeouts_destroy(streams->stalls);
    free(streams);
    return NULL;
}

void streams_drain(struct streams *streams)
{
    struct stream *stream, *next;

    streams->draining = true;
    TAILQ_FOREACH_SAFE (stream, &streams->all, link, next)
        if (stream->state == STREAM_LIVE)
            stream_close(stream, STREAM_DRAINING);
        else if (stream->state == STREAM_JOINING)
            stream_refuse(stream, PROBLEM_DRAINING);
}
