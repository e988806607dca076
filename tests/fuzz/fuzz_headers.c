/* Parsers of request header values: traceparent, Content-Type, Accept, Origin, Last-Event-ID, and the id of a task. Each one gets the
 * same bytes, in an exact allocation. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/task/task.h"
#include "common/task/task_event.h"
#include "gateway/access/cors.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + !size);

    must(text != NULL);
    if (size)
        memcpy(text, data, size);
    check_trace(text, size);
    check_origin(text, size);
    check_media(text, size);
    check_ids(text, size);
    free(text);
    return 0;
}
