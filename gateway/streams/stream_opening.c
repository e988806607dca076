/* How a stream begins: subscribe, submit or read, then send the log. */
#include <stdlib.h>

#include "common/buf.h"
#include "common/http/server.h"
#include "common/random.h"
#include "common/redis/client.h"
#include "common/task.h"
#include "gateway/access/client.h"
#include "gateway/access/rate_limit_headers.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/response/respond.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/hub.h"
#include "gateway/streams/stream_body.h"
#include "gateway/streams/watch.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/submit.h"

enum { REPLAY_MAX = 256 * 1024 * 1024 }; /* bytes of one log as frames; pictures may be in it */

/* A stream's, until it is live. */
struct stream_opening {
    struct submission *submission; /* NULL: READ */
    bool resumes;                  /* `cursor` is what the client has */
    struct task_cursor cursor;
    bool reset; /* the store does not know that place: say so, and send all */
    struct submit_call *submitting;
    struct event_log_call *reading;
};

void stream_opening_destroy(struct stream *stream)
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

/* -- refusing */

/* Before it has begun: an answer that is no stream. */
static void refuse_for(struct stream *stream, enum problem problem, int64_t wait_ms)
{
    respond_problem_after(stream->exchange, problem, wait_ms);
    stream->exchange = NULL;
    stream_close(stream, STREAM_ANSWERED);
}

void stream_refuse(struct stream *stream, enum problem problem)
{
    refuse_for(stream, problem, 0);
}

void stream_on_no_answer(struct timeout *timer, void *unused)
{
    (void)unused;
    stream_refuse(container_of(timer, struct stream, timer), PROBLEM_STORE_UNAVAILABLE);
}

/* -- asking for the log */

static void write_head(struct stream *stream)
{
    http_add_header(stream->exchange, "Cache-Control", "no-store, no-transform");
    http_add_header(stream->exchange, "X-Accel-Buffering", "no");
    http_stream_begin(stream->exchange, 200, "text/event-stream; charset=utf-8");
}

/* The first write: all of the log that the client lacks. */
static void add_log(struct buf *out, const struct stream *stream, const struct event_log *log)
{
    unsigned added[EVENT_TYPE_COUNT] = {0};

    frames_add_retry(out, random_unit());
    if (stream->opening->reset) {
        frames_add_reset(out, stream->watch->id, RESET_REPLAY);
        stream_count(stream, SSE_RESET, 1);
    }
    frames_add_log(out, stream->watch->id, log, added);
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++)
        stream_count(stream, type, added[type]);
}

static void begin(struct stream *stream, const struct event_log *log)
{
    struct buf bytes;

    write_head(stream);
    buf_init(&bytes, REPLAY_MAX);
    add_log(&bytes, stream, log);
    stream->epoch = log->epoch;
    stream->last = log->length;
    watch_on_log(stream->watch, log);
    if (buf_error(&bytes)) {
        stream_close(stream, STREAM_NO_MEMORY);
    } else {
        http_stream_write(stream->exchange, bytes.data, bytes.len);
        if (task_state_is_final(log->state))
            stream_close(stream, STREAM_FINAL);
        else
            stream_enter(stream, STREAM_LIVE);
    }
    buf_deinit(&bytes);
}

static bool knows_place(const struct task_cursor *cursor, const struct event_log *log)
{
    return cursor->epoch == log->epoch && cursor->n <= log->length;
}

/* SUBMIT brings the whole log. A client that repeats its request, as libraries that read a POST's stream do, may have some of it. */
static void begin_after_submit(struct stream *stream, const struct event_log *log)
{
    struct stream_opening *opening = stream->opening;
    struct event_log rest = *log;

    if (opening->resumes && knows_place(&opening->cursor, log))
        rest = event_log_after(log, opening->cursor.n);
    else
        opening->reset = opening->resumes;
    begin(stream, &rest);
}

static void on_submitted(const struct submit_result *answer, void *arg)
{
    struct stream *stream = arg;

    stream->opening->submitting = NULL;
    if (answer->images_left >= 0)
        rate_limit_headers_add_images(stream->exchange, answer->images_left, answer->day_left_ms);
    if (answer->log)
        begin_after_submit(stream, answer->log);
    else
        refuse_for(stream, submit_problem(answer->outcome), answer->day_left_ms);
}

/* A client that has everything already, the last event included, must not come again. */
static void answer_complete(struct stream *stream)
{
    http_respond(stream->exchange, 204, NULL, NULL, 0);
    stream->exchange = NULL;
    stream_close(stream, STREAM_ANSWERED);
}

static void on_log(const struct event_log *log, int err, void *arg)
{
    struct stream *stream = arg;
    struct stream_opening *opening = stream->opening;
    const struct task_cursor *cursor = &opening->cursor;

    opening->reading = NULL;
    if (err) {
        stream_refuse(stream, err == ERR_NOT_FOUND ? PROBLEM_TASK_NOT_FOUND : PROBLEM_STORE_UNAVAILABLE);
    } else if (!opening->resumes) {
        begin(stream, log);
    } else if (!knows_place(cursor, log)) {
        opening->resumes = false;
        opening->reset = true;
        stream_ask(stream);
    } else if (cursor->n == log->length && task_state_is_final(log->state)) {
        answer_complete(stream);
    } else {
        begin(stream, log);
    }
}

void stream_ask(struct stream *stream)
{
    const struct streams_config *config = &stream->streams->config;
    struct stream_opening *opening = stream->opening;
    int64_t from = opening->resumes ? opening->cursor.n + 1 : 1;
    int err;

    if (opening->submission)
        err = submit_start(config->submitter, opening->submission, on_submitted, stream, &opening->submitting);
    else
        err = event_log_read(config->commands, stream->watch->id, from, on_log, stream, &opening->reading);
    if (err)
        stream_refuse(stream, PROBLEM_STORE_UNAVAILABLE);
}

/* -- opening */

static void on_client_gone(void *arg)
{
    struct stream *stream = arg;

    stream->exchange = NULL;
    stream_close(stream, stream->waits ? STREAM_TOO_SLOW : STREAM_GONE);
}

static struct stream *create(struct streams *streams, struct http_exchange *exchange,
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
    bool has_place = is_ready && client_enter_stream(request->client);
    struct stream *stream = has_place ? create(streams, exchange, request) : NULL;

    if (is_ready && !stream)
        problem = has_place ? PROBLEM_INTERNAL : PROBLEM_TOO_MANY_STREAMS;
    if (!stream) {
        if (has_place)
            client_leave_stream(request->client);
        submission_destroy(request->submission);
        respond_problem(exchange, problem, NULL);
        return;
    }
    if (hub_join(streams->config.hub, stream, request->full_id)) {
        client_leave_stream(stream->client);
        stream_opening_destroy(stream);
        free(stream);
        respond_problem(exchange, problem, NULL);
        return;
    }
    TAILQ_INSERT_TAIL(&streams->all, stream, link);
    timeouts_start(streams->answers, &stream->timer);
    http_exchange_on_closed(exchange, on_client_gone, stream);
    if (request->submission || stream->watch->subscribed)
        stream_enter(stream, STREAM_ASKING);
}

void stream_on_subscribed(struct stream *stream)
{
    if (stream->state == STREAM_JOINING)
        stream_enter(stream, STREAM_ASKING);
    else if (stream->state == STREAM_ASKING)
        stream->asked_early = true;
}
