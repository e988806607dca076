#include "common/base/json_scan.h"

#include <jansson.h>
#include <string.h>

#include "common/base/json_text.h"

/* The skipping functions take a position and the end of the text, and return the next position. NULL: the text ends, or is not JSON. */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at < end ? at : NULL;
}

/* `at` is the opening quote. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; (at = memchr(at, '"', (size_t)(end - at))); at++) {
        const char *before = at;

        while (before[-1] == '\\') /* ends at the opening quote */
            before--;
        if ((at - before) % 2 == 0)
            return at + 1;
    }
    return NULL;
}

/* `at` is the opening bracket. */
static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;

    while (at && at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
        if (!depth)
            return at;
    }
    return NULL;
}

static const char *skip_value(const char *at, const char *end)
{
    const char *begin = at;

    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_nested(at, end);
    while (at < end && !strchr(",}] \t\n\r", *at))
        at++;
    return at > begin ? at : NULL;
}

/* `at` is in front of a member's name; -> the beginning of its value. */
static const char *skip_name(const char *at, const char *end, struct json_span *name)
{
    const char *begin = skip_space(at, end), *after = begin && *begin == '"' ? skip_string(begin, end) : NULL;
    const char *colon = after ? skip_space(after, end) : NULL;

    if (!colon || *colon != ':')
        return NULL;
    *name = (struct json_span){begin + 1, (size_t)(after - begin) - 2};
    return skip_space(colon + 1, end);
}

bool json_span_is(struct json_span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

void json_enter(struct json_span text, struct json_cursor *cursor)
{
    const char *end = text.at + text.len, *at = text.len ? skip_space(text.at, end) : NULL;

    *cursor = (struct json_cursor){NULL, end, at && *at == '{'};
    if (at && (*at == '{' || *at == '['))
        cursor->at = at + 1;
}

bool json_next(struct json_cursor *cursor, struct json_span *name, struct json_span *value)
{
    const char *at = cursor->at, *end = cursor->end, *begin;

    *name = (struct json_span){"", 0};
    begin = !at ? NULL : cursor->is_object ? skip_name(at, end, name) : skip_space(at, end);
    at = begin ? skip_value(begin, end) : NULL;
    cursor->at = NULL;
    if (!at)
        return false;
    *value = (struct json_span){begin, (size_t)(at - begin)};
    at = skip_space(at, end);
    if (at && *at == ',')
        cursor->at = at + 1;
    return true;
}

struct json_span json_member(struct json_span object, const char *name)
{
    struct json_span found, value;
    struct json_cursor cursor;

    json_enter(object, &cursor);
    while (cursor.is_object && json_next(&cursor, &found, &value))
        if (json_span_is(found, name))
            return value;
    return (struct json_span){"", 0};
}

json_t *json_span_read(struct json_span value)
{
    json_t *read = NULL;

    if (value.len >= 2 && value.at[0] == '"' && !memchr(value.at, '\\', value.len))
        return json_stringn(value.at + 1, value.len - 2);
    return json_text_read(value.at, value.len, JSON_DECODE_ANY, &read, NULL) ? NULL : read;
}
