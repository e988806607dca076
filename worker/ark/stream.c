#include "worker/ark/stream.h"

#include <jansson.h>
#include <string.h>

#include "common/base/macros.h"
#include "worker/ark/collect.h"

typedef void event_fn(struct ark_stream *stream, const json_t *event);

/* A string such as "1" is not an index: a server that writes it so may also count from 1. */
static json_int_t index_of(const json_t *event)
{
    const json_t *index = json_object_get(event, "image_index");
    double real = json_is_real(index) ? json_real_value(index) : ARK_NEXT_INDEX;

    if (json_is_integer(index))
        return json_integer_value(index);
    return real >= 0 && real < ARK_SLOTS_MAX && real == (double)(json_int_t)real ? (json_int_t)real : ARK_NEXT_INDEX;
}

static void stream_on_succeeded(struct ark_stream *stream, const json_t *event)
{
    ark_collect_slot(stream->collect, index_of(event), ARK_SLOT_SUCCEEDED, event);
}

static void stream_on_failed(struct ark_stream *stream, const json_t *event)
{
    ark_collect_slot(stream->collect, index_of(event), ARK_SLOT_FAILED, event);
}

static void stream_on_completed(struct ark_stream *stream, const json_t *event)
{
    (void)ark_collect_usage(stream->collect, json_object_get(event, "usage"));
    stream->finished = true;
}

static const struct {
    const char *type;
    event_fn *fn;
} events[] = {
    {"image_generation.partial_succeeded", stream_on_succeeded},
    {"image_generation.partial_failed",    stream_on_failed   },
    {"image_generation.completed",         stream_on_completed},
};

static event_fn *find_event(const char *type)
{
    for (size_t i = 0; i < ARRAY_LENGTH(events); i++)
        if (!strcmp(events[i].type, type))
            return events[i].fn;
    return NULL;
}

/* name: the SSE event name. The type in the JSON takes precedence. */
static void take_json(struct ark_stream *stream, const char *name, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    event_fn *fn = find_event(type ? type : name);

    if (!fn)
        fn = find_event(name);
    if (fn)
        fn(stream, event);
    else if (ark_collect_error(stream->collect, json_object_get(event, "error")))
        stream->finished = true;
    else if (!strcmp(name, "error") && ark_collect_error(stream->collect, event))
        stream->finished = true;
    else
        ark_collect_job(stream->collect, event);
}

static void take_data(struct ark_stream *stream, const char *name, const char *data, size_t len)
{
    json_t *event;

    if (len == 6 && !memcmp(data, "[DONE]", 6)) {
        stream->finished = true;
        return;
    }
    event = ark_collect_read(stream->collect, data, len, 0);
    if (event)
        take_json(stream, name, event);
    json_decref(event);
}

static bool stream_on_event(const struct sse_event *event, void *arg)
{
    struct ark_stream *stream = arg;

    take_data(stream, event->event, event->data, event->data_len);
    return !stream->finished;
}

void ark_stream_init(struct ark_stream *stream, size_t max_line, struct ark_collect *collect)
{
    *stream = (struct ark_stream){.collect = collect};
    sse_reader_init(&stream->reader, max_line, stream_on_event, stream);
    buf_init(&stream->bare, max_line);
}

void ark_stream_deinit(struct ark_stream *stream)
{
    sse_reader_deinit(&stream->reader);
    buf_deinit(&stream->bare);
}

static void take_bare(struct ark_stream *stream)
{
    take_data(stream, "message", buf_text(&stream->bare), stream->bare.len);
    buf_clear(&stream->bare);
}

static int feed_bare(struct ark_stream *stream, const char *bytes, size_t len, bool is_end)
{
    int err;

    buf_add(&stream->bare, bytes, len);
    err = buf_error(&stream->bare);
    if (!err && is_end)
        take_bare(stream);
    return err;
}

/* Returns the length up to and including the first CR or LF, or all of it. */
static size_t through_line_end(const char *bytes, size_t len, bool *is_end)
{
    const char *lf = memchr(bytes, '\n', len);
    size_t line = lf ? (size_t)(lf - bytes) + 1 : len;
    const char *cr = memchr(bytes, '\r', line);

    *is_end = lf || cr;
    return cr ? (size_t)(cr - bytes) + 1 : line;
}

int ark_stream_feed(struct ark_stream *stream, const char *bytes, size_t len)
{
    int err = 0;

    while (len && !err && !stream->finished) {
        bool is_end;
        size_t part = through_line_end(bytes, len, &is_end);

        if (!stream->in_line)
            stream->in_bare = *bytes == '{';
        stream->in_line = !is_end;
        err = stream->in_bare ? feed_bare(stream, bytes, part, is_end) : sse_reader_feed(&stream->reader, bytes, part);
        bytes += part;
        len -= part;
    }
    return err ? err : stream->collect->err;
}

void ark_stream_end(struct ark_stream *stream)
{
    /* The first may complete a CR LF pair, the second ends the line, the third ends the event. */
    static const char ends[] = "\n\n\n";

    /* An error here means that the last event is truncated: ignore it. */
    if (stream->in_line && stream->in_bare && !stream->finished)
        take_bare(stream);
    if (!stream->finished && sse_reader_feed(&stream->reader, ends, strlen(ends)))
        return;
}
