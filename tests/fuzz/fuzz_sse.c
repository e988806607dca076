/* A stream gives the same events whole and cut in two. Byte 0: the position of the cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sse.h"

enum { LINE_MAX_BYTES = 64, STORY_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_event(const struct sse_event *event, void *arg)
{
    struct buf *story = arg;

    if (strlen(event->event) > LINE_MAX_BYTES || event->data_len > LINE_MAX_BYTES || event->data[event->data_len])
        abort();
    buf_addf(story, "%s|%s|", event->event, event->id);
    buf_add(story, event->data, event->data_len);
    buf_add_char(story, '\n');
    return true;
}

static int read_stream(const char *bytes, size_t len, size_t cut, struct buf *story)
{
    struct sse_reader reader;
    int err;

    sse_reader_init(&reader, LINE_MAX_BYTES, on_event, story);
    err = sse_reader_feed(&reader, bytes, cut);
    if (!err)
        err = sse_reader_feed(&reader, bytes + cut, len - cut);
    sse_reader_deinit(&reader);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {.max = STORY_MAX}, parts = {.max = STORY_MAX};
    const char *bytes = (const char *)data + 1;
    size_t len = size - 1;

    if (!size)
        return 0;
    if (read_stream(bytes, len, 0, &whole) != read_stream(bytes, len, data[0] % (len + 1), &parts))
        abort();
    if (whole.len != parts.len || (whole.len && memcmp(whole.data, parts.data, whole.len) != 0))
        abort();
    buf_deinit(&whole);
    buf_deinit(&parts);
    return 0;
}
