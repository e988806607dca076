/* What can be read is within its bounds, and canonical after one writing: the second gives the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/task/task_event.h"
#include "common/task/task_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *canonical(const char *json, size_t len)
{
    struct task_spec spec;
    char *out;

    if (task_spec_read(json, len, &spec))
        return NULL;
    if ((!spec.url_count && !spec.prompt) || spec.url_count > TASK_URLS_MAX || spec.max_images < 0 ||
        spec.max_paid_calls < 0 || spec.url_count + (size_t)spec.max_images > TASK_IMAGES_MAX)
        abort();
    if (task_spec_write(&spec, &out))
        abort();
    task_spec_deinit(&spec);
    return out;
}

/* The other texts that come out of the store. */
static void read_event(const char *text, size_t len)
{
    struct task_event event;
    struct task_cursor cursor;

    if (!task_event_parse(text, len, &event) && (event.n < 1 || event.json + event.json_len != text + len))
        abort();
    if (!task_cursor_parse(text, len, &cursor) && (cursor.epoch < 0 || cursor.n < 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *first = canonical((const char *)data, size);
    char *second = first ? canonical(first, strlen(first)) : NULL;

    if (first && (!second || strcmp(first, second) != 0))
        abort();
    free(first);
    free(second);
    read_event((const char *)data, size);
    return 0;
}
