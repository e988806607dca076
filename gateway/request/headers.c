#include "gateway/request/headers.h"

#include "common/base/ascii.h"
#include "common/base/macros.h"

#include <string.h>
#include <strings.h>

/* -- Content-Type and Accept */

struct span {
    const char *data;
    size_t len;
};

static struct span trim(struct span text)
{
    while (text.len && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Takes the text up to `separator` off the front, trimmed. */
static struct span cut_span(struct span *text, char separator)
{
    const char *end = text->len ? memchr(text->data, separator, text->len) : NULL;
    struct span first = {text->data, end ? (size_t)(end - text->data) : text->len};
    size_t used = first.len + (end != NULL);

    *text = (struct span){text->data + used, text->len - used};
    return trim(first);
}

static bool is(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

/* "utf8" is not a registered name, but common. */
static bool is_utf8(struct span charset)
{
    if (charset.len >= 2 && charset.data[0] == '"' && charset.data[charset.len - 1] == '"')
        charset = (struct span){charset.data + 1, charset.len - 2};
    return is(charset, "utf-8") || is(charset, "utf8");
}

bool media_is_json(const char *content_type, size_t len)
{
    struct span rest = {content_type, len};

    if (!is(cut_span(&rest, ';'), "application/json"))
        return false;
    while (rest.len) {
        struct span value = cut_span(&rest, ';');
        struct span name = cut_span(&value, '=');

        if (is(name, "charset") && !is_utf8(value))
            return false;
    }
    return true;
}

bool media_is_image(const char *content_type, size_t len)
{
    static const char image[] = "image/";
    struct span rest = {content_type, len}, type;

    if (!content_type)
        return false;
    type = cut_span(&rest, ';');
    return is(type, "application/octet-stream") ||
           (type.len >= sizeof(image) && !strncasecmp(type.data, image, sizeof(image) - 1));
}

static bool is_all_of(struct span text, const char *letters)
{
    for (size_t i = 0; i < text.len; i++)
        if (!text.data[i] || !strchr(letters, text.data[i]))
            return false;
    return true;
}

/* "0", "0." and "0.000" exclude; any other value includes. */
static bool has_zero_quality(struct span parameters)
{
    while (parameters.len) {
        struct span value = cut_span(&parameters, ';');
        struct span name = cut_span(&value, '=');

        if (is(name, "q") && value.len && value.data[0] == '0')
            return is_all_of(value, "0.");
    }
    return false;
}

/* How specifically the range matches type/subtype: 0 not at all, 1 by "*" for both, 2 by type, 3 by type and subtype. */
static int precision(struct span range, const char *type, const char *subtype)
{
    struct span first = cut_span(&range, '/');

    range = trim(range);
    if (is(first, "*") && is(range, "*"))
        return 1;
    if (!is(first, type))
        return 0;
    return is(range, "*") ? 2 : is(range, subtype) ? 3 : 0;
}

bool media_is_accepted(const char *accept, size_t len, const char *type, const char *subtype)
{
    struct span rest = {accept, len};
    bool accepted = false;
    int best = 0;

    while (rest.len) {
        struct span parameters = cut_span(&rest, ',');
        int fit = precision(cut_span(&parameters, ';'), type, subtype);

        if (fit > best) {
            best = fit;
            accepted = !has_zero_quality(parameters);
        }
    }
    return accepted;
}

/* -- the head of a request with a JSON body */

/* The list of codings may be split over several header lines (RFC 9110, section 5.3). */
bool headers_have_encoding(const struct http_request *request)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (http_text_is_nocase(request->headers[i].name, "Content-Encoding") &&
            !http_text_is_nocase(request->headers[i].value, "identity"))
            return true;
    return false;
}

enum problem headers_problem(const struct http_request *request)
{
    struct http_text type = http_request_header(request, "Content-Type");

    if (!request->has_content_length && !request->chunked)
        return PROBLEM_LENGTH_REQUIRED;
    if (!type.data || !media_is_json(type.data, type.len))
        return PROBLEM_CONTENT_TYPE;
    if (headers_have_encoding(request))
        return PROBLEM_CONTENT_ENCODING;
    return PROBLEM_COUNT;
}

/* -- Idempotency-Key */

struct http_text idempotency_key_read(const struct http_request *request)
{
    struct http_text key = http_request_header(request, "Idempotency-Key");

    if (key.len >= 2 && key.data[0] == '"' && key.data[key.len - 1] == '"')
        key = (struct http_text){key.data + 1, key.len - 2};
    return key;
}

/* -- traceparent */

static const struct part {
    size_t at, len;
} version = {0, 2}, trace_id = {3, 32}, parent_id = {36, 16}, flags = {53, 2};

static bool part_is_hex(const char *text, struct part part)
{
    for (size_t i = part.at; i < part.at + part.len; i++)
        if (!ascii_is_lower_hex(text[i]))
            return false;
    return true;
}

static bool part_is_zero(const char *text, struct part part)
{
    for (size_t i = part.at; i < part.at + part.len; i++)
        if (text[i] != '0')
            return false;
    return true;
}

static bool is_traceparent(const char *text)
{
    return part_is_hex(text, version) && part_is_hex(text, trace_id) && part_is_hex(text, parent_id) &&
           part_is_hex(text, flags) && text[2] == '-' && text[35] == '-' && text[52] == '-' &&
           memcmp(text, "ff", 2) != 0 && !part_is_zero(text, trace_id) && !part_is_zero(text, parent_id);
}

void trace_read(char out[TRACE_SIZE], const char *text, size_t len)
{
    out[0] = '\0';
    /* Later versions may be longer, but begin with the fields of version 00. */
    if (len < TRACE_LEN || (len > TRACE_LEN && (text[TRACE_LEN] != '-' || memcmp(text, "00", 2) == 0)))
        return;
    if (!is_traceparent(text))
        return;
    memcpy(out, text, TRACE_LEN);
    out[TRACE_LEN] = '\0';
}

/* -- Last-Event-ID */

enum { CURSOR_SIZE = 64 };

/* False: the value is malformed. */
static bool read_query(const struct http_request *request, char value[CURSOR_SIZE])
{
    static const char *const names[] = {"lastEventId", "last_event_id"};

    value[0] = '\0';
    for (size_t i = 0; !value[0] && i < ARRAY_LENGTH(names); i++)
        if (http_request_has_query(request, names[i]) && !http_request_query(request, names[i], value, CURSOR_SIZE))
            return false;
    return true;
}

bool last_event_id_read(const struct http_request *request, bool *resumes, struct task_cursor *out)
{
    struct http_text id = http_request_header(request, "Last-Event-ID");
    char value[CURSOR_SIZE];

    if (!id.data) {
        if (!read_query(request, value))
            return false;
        id = (struct http_text){value, strlen(value)};
    }
    *resumes = id.len > 0;
    return !*resumes || !task_cursor_parse(id.data, id.len, out);
}
