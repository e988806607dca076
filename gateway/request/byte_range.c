#include "gateway/request/byte_range.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/base/ascii.h"

enum { DIGITS_MAX = 18 };

/* A list of ETags, or *. The comparison is weak: W/ is ignored. */
static bool etag_list_has(struct http_text list, const char *etag)
{
    size_t len = strlen(etag);

    if (list.len == 1 && *list.data == '*')
        return true;
    return list.data && memmem(list.data, list.len, etag, len);
}

/* Removes a number from the front. False: none, or a longer one than any file has. */
static bool take_digits(struct http_text *text, int64_t *out)
{
    size_t digits = 0;
    int64_t value = 0;

    while (digits < text->len && ascii_is_digit(text->data[digits]))
        value = digits < DIGITS_MAX ? value * 10 + (text->data[digits++] - '0') : (digits++, value);
    *text = (struct http_text){text->data + digits, text->len - digits};
    *out = value;
    return digits && digits <= DIGITS_MAX;
}

static struct byte_range range_part_of(int64_t first, int64_t last, int64_t size)
{
    if (first >= size)
        return (struct byte_range){.kind = BYTE_RANGE_OUTSIDE};
    if (last >= size)
        last = size - 1;
    return (struct byte_range){.kind = BYTE_RANGE_PART, .at = first, .len = last - first + 1};
}

static struct byte_range read_range(struct http_text text, int64_t size)
{
    static const char unit[] = "bytes=";
    const struct byte_range whole = {.kind = BYTE_RANGE_WHOLE, .len = size};
    int64_t first, last;
    bool has_first;

    if (text.len < sizeof(unit) - 1 || strncasecmp(text.data, unit, sizeof(unit) - 1) != 0)
        return whole;
    text = (struct http_text){text.data + sizeof(unit) - 1, text.len - (sizeof(unit) - 1)};
    has_first = text.len && *text.data != '-';
    if (has_first && !take_digits(&text, &first))
        return whole;
    if (!text.len || *text.data != '-')
        return whole;
    text = (struct http_text){text.data + 1, text.len - 1};
    if (!text.len)
        return has_first ? range_part_of(first, size - 1, size) : whole;
    if (!take_digits(&text, &last) || text.len)
        return whole;
    if (!has_first)
        return last ? range_part_of(last < size ? size - last : 0, size - 1, size)
                    : (struct byte_range){.kind = BYTE_RANGE_OUTSIDE};
    return first <= last ? range_part_of(first, last, size) : whole;
}

struct byte_range byte_range_read(const struct http_request *request, const char *etag, int64_t size)
{
    struct http_text range = http_request_header(request, "Range"),
                     condition = http_request_header(request, "If-Range");

    if (etag_list_has(http_request_header(request, "If-None-Match"), etag))
        return (struct byte_range){.kind = BYTE_RANGE_NONE_MATCH};
    if (!range.data || (condition.data && !http_text_is(condition, etag)))
        return (struct byte_range){.kind = BYTE_RANGE_WHOLE, .len = size};
    return read_range(range, size);
}
