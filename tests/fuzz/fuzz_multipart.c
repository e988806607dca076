/* Multipart forms. The first line of the input is a Content-Type, the rest a body. Invariants:
 *   - The events and the outcome do not depend on how the input is cut.
 *   - Every name is 1 to HTTP_MULTIPART_NAME_MAX bytes without control bytes, content and parts stay below the limits.
 *   - A form that is written again from its events has the same events.
 * Further seeds: tests/data/forms, whose requests are not forms by themselves but have all that forms are made of. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/utf8.h"
#include "common/http/multipart.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 9, BYTES_MAX = 1 << 20 };

static const struct http_multipart_limits limits = {.parts_max = 8, .total_max = 60000};

/* What the events say; written again, it is a form with the same events. */
struct story {
    struct buf told, again;
    const char *boundary;
    size_t content;
    unsigned parts;
    bool open;
};

static bool on_part(const struct http_multipart_part *part, void *arg)
{
    struct story *story = arg;

    must(!story->open && ++story->parts <= limits.parts_max);
    must(part->name[0] && strlen(part->name) <= HTTP_MULTIPART_NAME_MAX);
    must(utf8_is_valid(part->name, strlen(part->name)));
    story->open = true;
    buf_addf(&story->told, "%s(%zu %s %d ", story->parts > 1 ? ")" : "", strlen(part->name), part->name, part->is_file);
    buf_add(&story->told, part->content_type.data, part->content_type.len);
    buf_add_char(&story->told, ')');
    buf_addf(&story->again, "%s--%s\r\nContent-Disposition: form-data; name=\"", story->parts > 1 ? "\r\n" : "",
             story->boundary);
    for (const char *c = part->name; *c; c++) {
        must((unsigned char)*c >= 0x20 || *c == '\t');
        buf_addf(&story->again, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    }
    buf_addf(&story->again, "\"%s", part->is_file ? "; filename=f" : "");
    if (part->content_type.data) {
        buf_add_text(&story->again, "\r\nContent-Type: ");
        buf_add(&story->again, part->content_type.data, part->content_type.len);
    }
    buf_add_text(&story->again, "\r\n\r\n");
    return true;
}

static bool on_content(const char *bytes, size_t len, void *arg)
{
    struct story *story = arg;

    must(story->open && len > 0 && (int64_t)(story->content += len) <= limits.total_max);
    buf_add(&story->told, bytes, len);
    buf_add(&story->again, bytes, len);
    return true;
}

static bool on_part_end(void *arg)
{
    struct story *story = arg;

    must(story->open);
    story->open = false;
    return true;
}

struct outcome {
    enum http_parse parse;
    enum http_multipart_error error;
    const char *detail;
};

static struct outcome tell(struct story *story, const char *boundary, const char *body, size_t len, size_t step)
{
    const struct http_multipart_handler handler = {on_part, on_content, on_part_end, story};
    struct http_multipart multipart;
    struct outcome outcome = {.parse = HTTP_PARSE_MORE};

    *story = (struct story){.boundary = boundary};
    buf_init(&story->told, BYTES_MAX);
    buf_init(&story->again, BYTES_MAX);
    http_multipart_init(&multipart, boundary, &limits, &handler);
    for (size_t at = 0; at < len && outcome.parse != HTTP_PARSE_FAILED; at += step)
        outcome.parse = http_multipart_run(&multipart, body + at, len - at < step ? len - at : step);
    if (outcome.parse != HTTP_PARSE_FAILED)
        outcome.parse = http_multipart_finish(&multipart);
    must(outcome.parse != HTTP_PARSE_MORE && (outcome.parse == HTTP_PARSE_FAILED || !story->open));
    outcome.error = multipart.error;
    outcome.detail = multipart.detail;
    must(outcome.parse == HTTP_PARSE_DONE || outcome.error != HTTP_MULTIPART_STOPPED);
    return outcome;
}

static void forget(struct story *story)
{
    buf_deinit(&story->told);
    buf_deinit(&story->again);
}

static bool is_equal(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

/* total_max is judged by the piece that exceeds it, so the events before that differ. */
static void check(const char *boundary, const char *body, size_t len)
{
    struct story whole, cut;
    struct outcome outcome = tell(&whole, boundary, body, len, len + 1);

    for (size_t step = 1; step < STEPS; step++) {
        struct outcome other = tell(&cut, boundary, body, len, step);

        must(other.parse == outcome.parse && other.error == outcome.error && other.detail == outcome.detail);
        must(outcome.error == HTTP_MULTIPART_TOO_LARGE || is_equal(&whole.told, &cut.told));
        forget(&cut);
    }
    if (outcome.parse == HTTP_PARSE_DONE && whole.parts) {
        buf_addf(&whole.again, "\r\n--%s--", boundary);
        must(!buf_error(&whole.again));
        must(tell(&cut, boundary, whole.again.data, whole.again.len, BYTES_MAX).parse == HTTP_PARSE_DONE ||
             whole.again.len > (size_t)limits.total_max);
        must(is_equal(&whole.told, &cut.told) || whole.again.len > (size_t)limits.total_max);
        forget(&cut);
    }
    forget(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size ? memchr(text, '\n', size) : NULL;
    char boundary[HTTP_BOUNDARY_SIZE];

    if (!end || size > (size_t)limits.total_max / 2)
        return 0;
    if (!http_multipart_boundary((struct http_text){text, (size_t)(end - text)}, boundary))
        memcpy(boundary, "B", 2);
    check(boundary, end + 1, size - (size_t)(end + 1 - text));
    return 0;
}
