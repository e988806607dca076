#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http/server.h"
#include "common/log.h"
#include "common/random.h"
#include "common/redis/client.h"
#include "common/sse.h"
#include "common/task.h"
#include "gateway/access/client.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/streams/disconnects.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/hub.h"
#include "gateway/streams/stream_body.h"
#include "gateway/streams/watch.h"

enum {
    ANSWER_WITHIN_MS = 900, /* a client hears within a second that Redis is away */
    FAREWELL_MAX = 2048,
    COMMENT_MAX = 64,
};

#define LIFE_JITTER 0.1 /* of a stream's life */

static const char *const state_names[STREAM_STATE_COUNT] = {
    [STREAM_JOINING] = "joining",
    [STREAM_ASKING] = "asking",
    [STREAM_LIVE] = "live",
    [STREAM_CLOSED] = "closed",
};

static const char *const reason_names[STREAM_REASON_COUNT] = {
    [STREAM_FINAL] = "final",         [STREAM_ANSWERED] = "answered", [STREAM_GONE] = "client-gone",
    [STREAM_TOO_SLOW] = "too-slow",   [STREAM_DRAINING] = "draining", [STREAM_NO_TASK] = "task-gone",
    [STREAM_NO_MEMORY] = "no-memory", [STREAM_OLD] = "old",
};

/* -- states: each begins what it waits for */

static void go_live(struct stream *stream);
static void leave(struct stream *stream);

void stream_enter(struct stream *stream, enum stream_state next)
{
    static const struct {
        unsigned may; /* bits of the states that may follow */
        void (*on_enter)(struct stream *stream);
    } rows[STREAM_STATE_COUNT] = {
        [STREAM_JOINING] = {1u << STREAM_ASKING | 1u << STREAM_CLOSED, NULL      },
        [STREAM_ASKING] = {1u << STREAM_LIVE | 1u << STREAM_CLOSED,   stream_ask},
        [STREAM_LIVE] = {1u << STREAM_CLOSED,                       go_live   },
        [STREAM_CLOSED] = {0,                                         leave     },
    };

    assert(rows[stream->state].may & 1u << next);
    log_debug("stream", "state", "task=%s from=%s to=%s", stream->watch->id, state_names[stream->state],
              state_names[next]);
    stream->state = (uint8_t)next;
    if (rows[next].on_enter)
        rows[next].on_enter(stream);
}

/* -- writing */

void stream_write(struct stream *stream, const struct buf *bytes)
{
    if (!stream->exchange || !bytes->len || buf_error(bytes)) /* half a frame would be worse than none */
        return;
    if (!stream->waits && !http_stream_is_behind(stream->exchange))
        http_stream_write(stream->exchange, bytes->data, bytes->len);
}

/* What: an event's type, or an enum sse_kind. */
void stream_count(const struct stream *stream, unsigned what, unsigned times)
{
    metrics_add(stream->streams->config.metrics, SAMPLE(METRIC_SSE_EVENTS, what), times);
}

static void restart_heartbeat(struct stream *stream)
{
    if (!stream->waits)
        timeouts_start(stream->streams->heartbeats, &stream->timer);
}

/* Streams that were opened together are not to end together. */
static uint32_t end_of_life(const struct streams_config *config)
{
    double life_ms = (double)config->life_ms * (1 - LIFE_JITTER * random_unit());

    return config->life_ms ? (uint32_t)((clock_monotonic_ms() + (int64_t)life_ms) / 1000 + 1) : 0;
}

/* Called between two events, as the last thing that is done with the stream. */
static void close_if_old(struct stream *stream)
{
    if (stream->state == STREAM_LIVE && stream->old_s && clock_monotonic_ms() / 1000 >= stream->old_s)
        stream_close(stream, STREAM_OLD);
}

static void on_heartbeat(struct timeout *timer, void *arg)
{
    struct stream *stream = container_of(timer, struct stream, timer);
    const struct streams *streams = arg;
    bool redis_is_here = redis_is_ready(streams->config.commands) && hub_is_ready(streams->config.hub);
    struct buf comment;

    buf_init(&comment, COMMENT_MAX);
    sse_write_comment(&comment, redis_is_here ? "keep-alive" : "degraded");
    stream_write(stream, &comment);
    buf_deinit(&comment);
    restart_heartbeat(stream);
    close_if_old(stream);
}

/* -- a reader that is behind */

static void stop_waiting(struct stream *stream)
{
    timeouts_cancel(stream->streams->stalls, &stream->timer);
    stream->waits = false;
}

void stream_on_room(void *arg)
{
    struct stream *stream = arg;

    stop_waiting(stream);
    restart_heartbeat(stream);
    watch_catch_up(stream->watch, stream);
}

static void wait_for_room(struct stream *stream)
{
    timeouts_cancel(stream->streams->heartbeats, &stream->timer);
    stream->waits = true;
    stream->missed = 0;
    stream->unsent = http_exchange_unsent(stream->exchange);
    timeouts_start(stream->streams->stalls, &stream->timer);
    http_stream_wait_for_room(stream->exchange);
}

static bool has_taken_bytes(struct stream *stream)
{
    size_t unsent = http_exchange_unsent(stream->exchange);
    bool taken = unsent < stream->unsent;

    stream->unsent = unsent;
    return taken;
}

static void cut(struct stream *stream)
{
    struct http_exchange *exchange = stream->exchange;

    stream->exchange = NULL;
    http_abort(exchange, HTTP_ABORT_RST);
    stream_close(stream, STREAM_TOO_SLOW);
}

static void on_stall(struct timeout *timer, void *unused)
{
    struct stream *stream = container_of(timer, struct stream, timer);

    (void)unused;
    if (!has_taken_bytes(stream))
        cut(stream);
    else
        timeouts_start(stream->streams->stalls, &stream->timer);
}

/* An event came which it has to leave in the log. */
static void miss(struct stream *stream)
{
    stream->missed = has_taken_bytes(stream) ? 0 : stream->missed + 1;
    if (stream->missed >= STALL_EVENTS)
        cut(stream);
}

/* -- the door out */

static void free_stream(void *stream)
{
    free(stream);
}

/* What a client still hears depends on why; only streams that have begun hear anything. */
static void say_farewell(struct stream *stream, enum stream_reason reason)
{
    struct buf bytes;

    buf_init(&bytes, FAREWELL_MAX);
    if (reason == STREAM_DRAINING || reason == STREAM_OLD) {
        frames_add_handover_retry(&bytes, random_unit());
    } else if (reason == STREAM_NO_TASK) {
        frames_add_reset(&bytes, stream->watch->id, RESET_NO_TASK);
        stream_count(stream, SSE_RESET, 1);
    }
    stream_write(stream, &bytes);
    buf_deinit(&bytes);
}

static void end_answer(struct stream *stream, enum stream_reason reason)
{
    struct http_exchange *exchange = stream->exchange;

    if (!exchange)
        return;
    if (reason == STREAM_NO_MEMORY) {
        http_abort(exchange, HTTP_ABORT_FIN);
    } else {
        say_farewell(stream, reason);
        if (reason == STREAM_OLD)
            http_close_after(exchange); /* so that it may come back elsewhere */
        http_stream_end(exchange);
    }
    stream->exchange = NULL;
}

/* One that was live has left for the client's own reasons; one that was not is settled with its submission, if at all. */
static bool was_left(const struct stream *stream, enum stream_reason reason)
{
    return stream->state == STREAM_LIVE && (reason == STREAM_GONE || reason == STREAM_TOO_SLOW);
}

void stream_close(struct stream *stream, enum stream_reason reason)
{
    const struct watch *watch = stream->watch; /* outlives this turn */
    bool left = was_left(stream, reason);

    if (stream->state == STREAM_CLOSED)
        return;
    log_debug("stream", "closing", "task=%s reason=%s last=%lld", stream->watch->id, reason_names[reason],
              (long long)stream->last);
    end_answer(stream, reason);
    if (stream->state == STREAM_LIVE) {
        timeouts_cancel(stream->waits ? stream->streams->stalls : stream->streams->heartbeats, &stream->timer);
        watch_remove_live(stream->watch);
        metrics_add(stream->streams->config.metrics, SAMPLE(METRIC_SSE_STREAMS), -1);
    } else {
        timeouts_cancel(stream->streams->answers, &stream->timer);
    }
    stream_enter(stream, STREAM_CLOSED);
    if (left)
        disconnects_apply(stream->streams->config.disconnects, watch->id, (enum on_disconnect)stream->on_disconnect);
}

static void leave(struct stream *stream)
{
    struct streams *streams = stream->streams;

    stream_opening_destroy(stream);
    client_leave_stream(stream->client);
    hub_leave(streams->config.hub, stream);
    TAILQ_REMOVE(&streams->all, stream, link);
    loop_defer(streams->loop, &stream->deferred, free_stream, stream);
}

/* -- live */

static void go_live(struct stream *stream)
{
    timeouts_cancel(stream->streams->answers, &stream->timer);
    restart_heartbeat(stream);
    stream_opening_destroy(stream);
    metrics_add(stream->streams->config.metrics, SAMPLE(METRIC_SSE_STREAMS), 1);
    stream->old_s = end_of_life(&stream->streams->config);
    watch_add_live(stream->watch, stream);
    if (stream->streams->draining)
        stream_close(stream, STREAM_DRAINING);
}

void stream_deliver(struct stream *stream, const struct stream_frame *frame)
{
    if (frame->n <= stream->last)
        return;
    if (!stream->waits && http_stream_is_behind(stream->exchange))
        wait_for_room(stream);
    if (stream->waits) {
        miss(stream);
        return;
    }
    stream->last = frame->n;
    restart_heartbeat(stream);
    http_stream_write(stream->exchange, frame->bytes, frame->len);
    stream_count(stream, frame->type, 1);
    if (task_event_is_final(frame->type))
        stream_close(stream, STREAM_FINAL);
    close_if_old(stream);
}

void stream_send_position(struct stream *stream, const struct buf *frame)
{
    if (stream->waits)
        return;
    restart_heartbeat(stream);
    stream_write(stream, frame);
    stream_count(stream, SSE_QUEUE_POSITION, 1);
    close_if_old(stream);
}

void stream_reset(struct stream *stream, int64_t epoch)
{
    struct buf bytes;

    if (stream->waits || http_stream_is_behind(stream->exchange)) {
        stream_close(stream, STREAM_OLD);
        return;
    }
    stream->epoch = epoch;
    stream->last = 0;
    buf_init(&bytes, FAREWELL_MAX);
    frames_add_reset(&bytes, stream->watch->id, RESET_REPLAY);
    if (buf_error(&bytes))
        stream_close(stream, STREAM_NO_MEMORY); /* without it the client would drop the log that follows */
    else
        stream_write(stream, &bytes);
    stream_count(stream, SSE_RESET, 1);
    buf_deinit(&bytes);
}

/* -- all of them */

struct streams *streams_create(struct loop *loop, const struct streams_config *config)
{
    struct streams *streams = calloc(1, sizeof(*streams));

    if (!streams)
        return NULL;
    streams->loop = loop;
    streams->config = *config;
    TAILQ_INIT(&streams->all);
    streams->answers = timeouts_create(loop, ANSWER_WITHIN_MS, stream_on_no_answer, NULL);
    streams->heartbeats = timeouts_create(loop, config->heartbeat_ms, on_heartbeat, streams);
    streams->stalls = timeouts_create(loop, STALL_MS, on_stall, NULL);
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
    struct stream *stream = TAILQ_FIRST(&streams->all);

    streams->draining = true;
    while (stream) {
        struct stream *next = TAILQ_NEXT(stream, link);

        if (stream->state == STREAM_LIVE)
            stream_close(stream, STREAM_DRAINING);
        else if (stream->state == STREAM_JOINING)
            stream_refuse(stream, PROBLEM_DRAINING);
        stream = next;
    }
}
