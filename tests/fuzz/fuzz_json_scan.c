/* The scanner of JSON texts, beside jansson. Invariants:
 *   - Each value that is found is inside the text, behind the last one.
 *   - In valid JSON, the scanner finds the same values as jansson. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/json_scan.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(struct json_span span, const json_t *want)
{
    json_t *value = json_span_read(span);

    must(value && json_equal(value, want));
    json_decref(value);
}

/* Names are compared as they are written: one with escapes is not found, or another one that is written like it. */
static void check_members(struct json_span text, json_t *object)
{
    const char *name;
    json_t *want;

    json_object_foreach (object, name, want) {
        struct json_span span = json_member(text, name);

        if (strchr(name, '\\'))
            continue;
        must(span.len || memchr(text.at, '\\', text.len));
        if (span.len)
            check_value(span, want);
    }
}

static size_t scan(struct json_span text, const json_t *array)
{
    const char *after = text.at;
    struct json_span name, value;
    struct json_cursor cursor;
    size_t count = 0;

    json_enter(text, &cursor);
    for (; json_next(&cursor, &name, &value); count++) {
        must(value.len && value.at > after && value.at + value.len <= text.at + text.len);
        must(!name.len || (name.at > after && name.at + name.len < value.at));
        after = value.at + value.len;
        if (array)
            check_value(value, json_array_get(array, count));
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_span text = {(const char *)data, size};
    bool has_nul = size && memchr(data, 0, size); /* jansson skips a NUL between tokens, which is not JSON */
    json_t *root = has_nul ? NULL : json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    size_t count = scan(text, json_is_array(root) ? root : NULL);

    must(!root || count == (json_is_array(root) ? json_array_size(root) : json_object_size(root)));
    if (json_is_object(root))
        check_members(text, root);
    json_decref(root);
    return 0;
}
