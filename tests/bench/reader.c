#include "tests/bench/reader.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 16 * 1024, KEPT_MAX = 4 * 1024 * 1024 };

static void forget(struct reader *reader, size_t len)
{
    reader->kept_len -= len;
    if (reader->kept_len) {
        memmove(reader->kept, reader->kept + len, reader->kept_len);
        return;
    }
    free(reader->kept);
    reader->kept = NULL;
}

static enum fault keep(struct reader *reader, const char *bytes, size_t len, size_t max, enum fault too_long)
{
    char *kept;

    if (len == 0)
        return FAULT_NONE;
    kept = reader->kept_len + len > max ? NULL : realloc(reader->kept, reader->kept_len + len);
    if (!kept)
        return too_long;
    memcpy(kept + reader->kept_len, bytes, len);
    reader->kept = kept;
    reader->kept_len += len;
    return FAULT_NONE;
}

void reader_begin(struct reader *reader)
{
    reader_deinit(reader);
    *reader = (struct reader){.on_frame = reader->on_frame, .arg = reader->arg};
}

void reader_deinit(struct reader *reader)
{
    free(reader->kept);
    reader->kept = NULL;
    reader->kept_len = 0;
}

bool reader_may_end(const struct reader *reader)
{
    return reader->state == READER_DONE || (reader->state == READER_TO_CLOSE && reader->kept_len == 0);
}

/* -- frames */

static bool field(struct text line, const char *name, struct text *value)
{
    size_t len = strlen(name);

    if (line.len < len || memcmp(line.at, name, len) != 0)
        return false;
    *value = (struct text){line.at + len, line.len - len};
    return true;
}

static bool is_retry(struct text line)
{
    struct text value;

    if (!field(line, "retry: ", &value) || value.len == 0)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (!isdigit((unsigned char)value.at[i]))
            return false;
    }
    return true;
}

/* Each field at most once, as the contract says. Other lines must be comments or retry. */
static enum fault read_line(struct text line, struct frame *frame)
{
    if ((!frame->id.at && field(line, "id: ", &frame->id)) ||
        (!frame->event.at && field(line, "event: ", &frame->event)) ||
        (!frame->data.at && field(line, "data: ", &frame->data)) || line.at[0] == ':' || is_retry(line))
        return FAULT_NONE;
    return FAULT_FRAME;
}

static enum fault read_frame(struct reader *reader, const char *bytes, size_t len)
{
    struct frame frame = {
        .whole = {bytes, len}
    };

    for (const char *at = bytes, *end = bytes + len; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct text line = {at, (size_t)((newline ? newline : end) - at)};

        if (line.len == 0 || read_line(line, &frame))
            return FAULT_FRAME;
        at += line.len + 1;
    }
    return reader->on_frame(reader->arg, &frame);
}

/* Reads all complete frames. *used: their length. */
static enum fault read_frames(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    const char *at = bytes, *end = bytes + len;
    enum fault fault = FAULT_NONE;

    while (!fault && at < end) {
        const char *stop = memmem(at, (size_t)(end - at), "\n\n", 2);

        if (!stop)
            break;
        fault = read_frame(reader, at, (size_t)(stop - at));
        at = stop + 2;
    }
    *used = (size_t)(at - bytes);
    return fault;
}

static enum fault read_events(struct reader *reader, const char *bytes, size_t len)
{
    enum fault fault;
    size_t used;

    if (!reader->kept_len) {
        fault = read_frames(reader, bytes, len, &used);
        return fault ? fault : keep(reader, bytes + used, len - used, KEPT_MAX, FAULT_FRAME);
    }
    fault = keep(reader, bytes, len, KEPT_MAX, FAULT_FRAME);
    if (fault)
        return fault;
    fault = read_frames(reader, reader->kept, reader->kept_len, &used);
    if (!fault)
        forget(reader, used);
    return fault;
}

static enum fault read_body(struct reader *reader, const char *bytes, size_t len)
{
    if (reader->events)
        return read_events(reader, bytes, len);
    return keep(reader, bytes, len, KEPT_MAX, FAULT_FRAME);
}

static enum fault end_body(struct reader *reader)
{
    struct frame frame = {
        .data = {reader->kept ? reader->kept : "", reader->kept_len}
    };
    enum fault fault;

    reader->state = READER_DONE;
    if (reader->events)
        return reader->kept_len ? FAULT_FRAME : FAULT_NONE; /* a frame is incomplete */
    frame.whole = frame.data;
    fault = reader->on_frame(reader->arg, &frame);
    forget(reader, reader->kept_len);
    return fault;
}

/* -- the head */

static struct text header(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0) {
            const char *at = line + 2 + len + strspn(line + 2 + len, " ");

            return (struct text){at, strcspn(at, "\r")};
        }
    }
    return (struct text){NULL, 0};
}

static bool begins(struct text text, const char *with)
{
    return text.len >= strlen(with) && strncasecmp(text.at, with, strlen(with)) == 0;
}

static enum fault read_head(struct reader *reader, const char *head)
{
    struct text length = header(head, "Content-Length:");

    if (strncmp(head, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)head[7]) || head[8] != ' ')
        return FAULT_HEAD;
    reader->status = (int)strtol(head + 9, NULL, 10);
    reader->events = begins(header(head, "Content-Type:"), "text/event-stream");
    if (begins(header(head, "Transfer-Encoding:"), "chunked"))
        reader->state = READER_CHUNK_SIZE;
    else if (!length.at)
        reader->state = READER_TO_CLOSE;
    else
        reader->state = READER_BODY;
    reader->left = reader->state == READER_BODY ? strtoull(length.at, NULL, 10) : 0;
    return FAULT_NONE;
}

/* *used: the bytes that belong to the head, which may end before `len`. */
static enum fault take_head(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    size_t before = reader->kept_len, total;
    enum fault fault = keep(reader, bytes, len, HEAD_MAX, FAULT_HEAD);
    const char *stop;

    *used = len;
    if (fault)
        return fault;
    stop = memmem(reader->kept, reader->kept_len, "\r\n\r\n", 4);
    if (!stop)
        return FAULT_NONE;
    total = (size_t)(stop - reader->kept) + 4;
    *used = total - before;
    reader->kept[total - 2] = '\0'; /* after the line end of the last header */
    fault = read_head(reader, reader->kept);
    forget(reader, reader->kept_len);
    if (!fault && reader->state == READER_BODY && reader->left == 0)
        fault = end_body(reader);
    return fault;
}

/* -- chunks */

static enum fault take_size(struct reader *reader, char c)
{
    static const char hex[] = "0123456789abcdef";
    const char *digit = c ? strchr(hex, tolower((unsigned char)c)) : NULL;

    if (digit) {
        reader->digit = true;
        reader->left = reader->left * 16 + (uint64_t)(digit - hex);
        return reader->left > KEPT_MAX ? FAULT_CHUNK : FAULT_NONE;
    }
    if (c == '\r')
        return reader->digit ? FAULT_NONE : FAULT_CHUNK;
    if (c != '\n' || !reader->digit)
        return FAULT_CHUNK;
    reader->digit = false;
    reader->state = reader->left ? READER_CHUNK : READER_LAST_END;
    return FAULT_NONE;
}

static enum fault take_line_end(struct reader *reader, char c)
{
    if (c == '\r')
        return FAULT_NONE;
    if (c != '\n')
        return FAULT_CHUNK;
    if (reader->state == READER_LAST_END)
        return end_body(reader);
    reader->state = READER_CHUNK_SIZE;
    return FAULT_NONE;
}

static enum fault take_counted(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    enum fault fault;

    *used = len < reader->left ? len : (size_t)reader->left;
    reader->left -= *used;
    fault = read_body(reader, bytes, *used);
    if (fault || reader->left)
        return fault;
    if (reader->state == READER_BODY)
        return end_body(reader);
    reader->state = READER_CHUNK_END;
    return FAULT_NONE;
}

static enum fault take_some(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    *used = 1;
    switch (reader->state) {
    case READER_HEAD:
        return take_head(reader, bytes, len, used);
    case READER_CHUNK_SIZE:
        return take_size(reader, *bytes);
    case READER_CHUNK_END:
    case READER_LAST_END:
        return take_line_end(reader, *bytes);
    case READER_CHUNK:
    case READER_BODY:
        return take_counted(reader, bytes, len, used);
    case READER_TO_CLOSE:
        *used = len;
        return read_body(reader, bytes, len);
    case READER_DONE:
        break;
    }
    return FAULT_AFTER_FINAL;
}

enum fault reader_take(struct reader *reader, const char *bytes, size_t len)
{
    enum fault fault = FAULT_NONE;
    size_t used;

    while (len && !fault) {
        fault = take_some(reader, bytes, len, &used);
        bytes += used;
        len -= used;
    }
    return fault;
}
