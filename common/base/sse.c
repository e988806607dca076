#include "common/base/sse.h"

#include "common/base/macros.h"

#include <string.h>

/* label: the field's name, the colon and the space. */
static void add_field(struct buf *out, const char *label, const char *value, size_t len)
{
    buf_add_text(out, label);
    buf_add(out, value, len);
    buf_add_char(out, '\n');
}

void sse_write_event(struct buf *out, const char *id, const char *event, const char *data, size_t len)
{
    if (id)
        add_field(out, "id: ", id, strlen(id));
    if (event)
        add_field(out, "event: ", event, strlen(event));
    add_field(out, "data: ", data, len);
    buf_add_char(out, '\n');
}

void sse_write_comment(struct buf *out, const char *text)
{
    add_field(out, ": ", text, strlen(text));
    buf_add_char(out, '\n');
}

void sse_write_retry(struct buf *out, int delay_ms)
{
    buf_add_text(out, "retry: ");
    buf_add_int(out, delay_ms);
    buf_add(out, "\n\n", 2);
}

void sse_reader_init(struct sse_reader *reader, size_t max, sse_event_fn *on_event, void *arg)
{
    *reader = (struct sse_reader){.on_event = on_event, .arg = arg};
    buf_init(&reader->line, max);
    buf_init(&reader->event, max);
    buf_init(&reader->data, max);
    buf_init(&reader->id, max);
}

void sse_reader_deinit(struct sse_reader *reader)
{
    buf_deinit(&reader->line);
    buf_deinit(&reader->event);
    buf_deinit(&reader->data);
    buf_deinit(&reader->id);
}

static void set_text(struct buf *buf, const char *value, size_t len)
{
    buf_clear(buf);
    buf_add(buf, value, len);
}

static void sse_take_field(struct sse_reader *reader, const char *name, size_t name_len, const char *value, size_t len)
{
    if (name_len == 4 && !memcmp(name, "data", 4)) {
        if (reader->has_data)
            buf_add_char(&reader->data, '\n');
        buf_add(&reader->data, value, len);
        reader->has_data = true;
    } else if (name_len == 5 && !memcmp(name, "event", 5)) {
        set_text(&reader->event, value, len);
    } else if (name_len == 2 && !memcmp(name, "id", 2) && !memchr(value, '\0', len)) {
        set_text(&reader->id, value, len);
    }
}

/* Returns false if the callback stopped reading; the reader may be freed by then. */
static bool report_event(struct sse_reader *reader)
{
    struct sse_event event = {
        .event = reader->event.len ? buf_text(&reader->event) : "message",
        .id = buf_text(&reader->id),
        .data = buf_text(&reader->data),
        .data_len = reader->data.len,
    };

    if (reader->has_data && !reader->on_event(&event, reader->arg))
        return false;
    buf_clear(&reader->event);
    buf_clear(&reader->data);
    reader->has_data = false;
    return true;
}

static bool take_line(struct sse_reader *reader)
{
    static const char bom[] = "\xef\xbb\xbf";
    const char *line, *colon, *value;
    size_t len, name_len;

    if (!reader->started && reader->line.len >= 3 && !memcmp(reader->line.data, bom, 3))
        buf_drop_front(&reader->line, 3);
    reader->started = true;
    line = buf_text(&reader->line);
    len = reader->line.len;
    if (!len)
        return report_event(reader);

    colon = memchr(line, ':', len);
    name_len = colon ? (size_t)(colon - line) : len;
    value = colon ? colon + 1 : line + len;
    if (colon && value < line + len && *value == ' ')
        value++;
    sse_take_field(reader, line, name_len, value, (size_t)(line + len - value));
    buf_clear(&reader->line);
    return true;
}

static int first_error(const struct sse_reader *reader)
{
    const struct buf *bufs[] = {&reader->line, &reader->event, &reader->data, &reader->id};

    for (size_t i = 0; i < ARRAY_LENGTH(bufs); i++)
        if (buf_error(bufs[i]))
            return buf_error(bufs[i]);
    return 0;
}

/* The first `c` at or after `at`, or `end`. *known caches the last result (NULL before the first search), so no byte is searched
 * twice. */
static const char *next_of(const char **known, char c, const char *at, const char *end)
{
    const char *found;

    if (!*known || *known < at) {
        found = memchr(at, c, (size_t)(end - at));
        *known = found ? found : end;
    }
    return *known;
}

int sse_reader_feed(struct sse_reader *reader, const char *bytes, size_t len)
{
    const char *lf = NULL, *cr = NULL;
    int err = first_error(reader);

    while (len && !err) {
        const char *end = bytes + len;
        const char *next_lf = next_of(&lf, '\n', bytes, end), *next_cr = next_of(&cr, '\r', bytes, end);
        size_t part = (size_t)((next_lf < next_cr ? next_lf : next_cr) - bytes);
        bool is_end = part < len;
        /* A CR ends its line immediately; the LF of a CRLF pair may arrive in a later piece. */
        bool is_lf_of_crlf = bytes[0] == '\n' && reader->after_cr;

        reader->after_cr = is_end && bytes[part] == '\r';
        if (!is_lf_of_crlf) {
            buf_add(&reader->line, bytes, part);
            err = buf_error(&reader->line);
            if (!err && is_end && !take_line(reader))
                return 0;
            err = err ? err : first_error(reader);
        }
        bytes += part + is_end;
        len -= part + is_end;
    }
    return err;
}
