/* Parsers of short texts in requests: traceparent, Content-Type, Accept, Origin, Last-Event-ID, Range, If-Range, If-None-Match, the id of a
 * task, and the days of GET /usage. Each one gets the same bytes, in an exact allocation. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/task/task.h"
#include "common/task/task_event.h"
#include "gateway/access/cors.h"
#include "gateway/api/period.h"
#include "gateway/request/byte_range.h"
#include "gateway/request/headers.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An accepted trace has the bytes of the input and is accepted again. */
static void check_trace(const char *text, size_t len)
{
    char first[TRACE_SIZE], second[TRACE_SIZE];

    trace_read(first, text, len);
    if (!*first)
        return;
    must(strlen(first) == TRACE_LEN && len >= TRACE_LEN && !memcmp(first, text, TRACE_LEN));
    must(strspn(first, "0123456789abcdef-") == TRACE_LEN);
    trace_read(second, first, TRACE_LEN);
    must(!strcmp(first, second));
}

/* An origin is allowed only if it is byte for byte in the list. */
static void check_origin(const char *text, size_t len)
{
    static const char *const listed[] = {"https://example.com", "http://localhost:3000"};
    struct cors *cors = cors_create("https://example.com, http://localhost:3000");
    const char *allowed;

    must(cors != NULL);
    allowed = cors_allowed(cors, text, len);
    if (allowed) {
        must(strlen(allowed) == len && !memcmp(allowed, text, len));
        must(!strcmp(allowed, listed[0]) || !strcmp(allowed, listed[1]));
    }
    (void)cors_destroy(cors);
}

static void check_media(const char *text, size_t len)
{
    bool json = media_is_json(text, len);

    must(!json || len >= strlen("application/json"));
    (void)media_is_accepted(text, len, "text", "event-stream");
    (void)media_is_accepted(text, len, "application", "json");
}

static void check_ids(const char *text, size_t len)
{
    struct task_cursor cursor;

    if (task_id_is_valid(text, len)) {
        must(len > 0 && len <= TASK_ID_MAX);
        for (size_t i = 0; i < len; i++)
            must(text[i] > ' ' && text[i] < 0x7f && !strchr("/\\{}*?[]%\"'<>&", text[i]));
    }
    if (!task_cursor_parse(text, len, &cursor))
        must(cursor.epoch >= 0 && cursor.n >= 0);
}

/* A part is within the body, whatever its size. */
static void check_range(const char *text, size_t len)
{
    static const int64_t sizes[] = {0, 1, 12 << 20, INT64_MAX};
    const struct http_text value = {text, len};
    const struct http_request plain = {.headers = {{{"Range", 5}, value}}, .header_count = 1};
    const struct http_request conditional = {
        .headers = {{{"If-None-Match", 13}, value}, {{"If-Range", 8}, value}, {{"Range", 5}, {"bytes=0-", 8}}},
        .header_count = 3
    };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct byte_range range = byte_range_read(&plain, "\"e\"", sizes[i]);

        must(range.kind != BYTE_RANGE_NONE_MATCH);
        if (range.kind == BYTE_RANGE_PART)
            must(range.at >= 0 && range.len > 0 && range.at <= sizes[i] - range.len);
        (void)byte_range_read(&conditional, "\"e\"", sizes[i]);
    }
}

/* A day or month that is read is written as the same text. */
static void check_period(const char *text)
{
    static const enum period_kind kinds[] = {PERIOD_DAY, PERIOD_MONTH};
    char again[PERIOD_TEXT_SIZE];
    int64_t period;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (period_read(kinds[i], text, &period)) {
            period_text(kinds[i], period, again);
            must(!strcmp(again, text));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + !size), *terminated = strndup((const char *)data, size);

    must(text && terminated);
    if (size)
        memcpy(text, data, size);
    check_trace(text, size);
    check_origin(text, size);
    check_media(text, size);
    check_ids(text, size);
    check_range(text, size);
    check_period(terminated);
    free(terminated);
    free(text);
    return 0;
}
