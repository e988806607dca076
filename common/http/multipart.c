#include "common/http/multipart.h"

#include <string.h>

#include "common/base/macros.h"
#include "common/base/utf8.h"

enum state {
    SEARCH,         /* preamble or content, looking for the delimiter */
    AFTER_BOUNDARY, /* the delimiter has just ended */
    PADDING,        /* white space after it */
    DELIMITER_LF,
    HEAD,
    CLOSE_DASH,
    CLOSED, /* after the close delimiter */
    CLOSED_LF,
    EPILOGUE,
    FAILED,
};

enum { LINE_BREAK = 2, IGNORED_MAX = HTTP_MULTIPART_HEAD_MAX };

static bool fail(struct http_multipart *multipart, enum http_multipart_error error, const char *detail)
{
    multipart->error = error;
    multipart->detail = detail;
    multipart->state = FAILED;
    return false;
}

static bool multipart_malformed(struct http_multipart *multipart, const char *detail)
{
    return fail(multipart, HTTP_MULTIPART_MALFORMED, detail);
}

static bool ask(struct http_multipart *multipart, bool handler_agrees)
{
    return handler_agrees || fail(multipart, HTTP_MULTIPART_STOPPED, NULL);
}

/* -- parameters of Content-Type and Content-Disposition: ; name=token ; name="quoted string" */

struct parameter {
    struct http_text name, value; /* the value without its quotes, escapes as they were sent */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The end of a quoted string, which begins at its opening quote; NULL: it does not end. */
static const char *end_of_quoted(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at;
        if (*at == '\\')
            at++;
    }
    return NULL;
}

static bool take_value(const char **at, const char *end, struct http_text *out)
{
    const char *begin = *at, *stop;

    if (begin < end && *begin == '"') {
        stop = end_of_quoted(begin, end);
        if (!stop)
            return false;
        *out = (struct http_text){begin + 1, (size_t)(stop - begin - 1)};
        *at = stop + 1;
        return true;
    }
    stop = begin < end ? memchr(begin, ';', (size_t)(end - begin)) : NULL;
    *at = stop ? stop : end;
    *out = http_text_trim((struct http_text){begin, (size_t)(*at - begin)});
    return out->len && !memchr(out->data, '"', out->len);
}

static void skip_blank(const char **at, const char *end)
{
    while (*at < end && is_blank(**at))
        ++*at;
}

/* Takes the next parameter off the front of `rest`. *malformed is set if there is none because the text is malformed. */
static bool next_parameter(struct http_text *rest, struct parameter *out, bool *is_malformed)
{
    const char *at = rest->data, *end = rest->data + rest->len, *equals;

    skip_blank(&at, end);
    while (at < end && *at == ';') { /* empty parameters are common at the end */
        at++;
        skip_blank(&at, end);
    }
    if (at == end)
        return false;
    *is_malformed = true;
    equals = memchr(at, '=', (size_t)(end - at));
    if (at == rest->data || !equals)
        return false;
    out->name = http_text_trim((struct http_text){at, (size_t)(equals - at)});
    at = equals + 1;
    skip_blank(&at, end);
    if (!http_is_token(out->name.data, out->name.len) || !take_value(&at, end, &out->value))
        return false;
    skip_blank(&at, end);
    if (at < end && *at != ';')
        return false;
    *is_malformed = false;
    *rest = (struct http_text){at, (size_t)(end - at)};
    return true;
}

/* The text before the parameters; *rest begins at the first semicolon. */
static struct http_text take_main_value(struct http_text value, struct http_text *rest)
{
    const char *semicolon = value.len ? memchr(value.data, ';', value.len) : NULL;
    size_t len = semicolon ? (size_t)(semicolon - value.data) : value.len;

    *rest = (struct http_text){value.data + len, value.len - len};
    return http_text_trim((struct http_text){value.data, len});
}

/* -- the boundary */

/* bchars of RFC 2046. The last one is not a space. */
static bool is_boundary(struct http_text text)
{
    return text.len && text.len <= HTTP_BOUNDARY_MAX && http_is_made_of(text.data, text.len, "'()+_,-./:=? ") &&
           text.data[text.len - 1] != ' ';
}

bool http_multipart_is_form(struct http_text content_type)
{
    struct http_text rest;

    return content_type.data && http_text_is_nocase(take_main_value(content_type, &rest), "multipart/form-data");
}

bool http_multipart_boundary(struct http_text content_type, char out[HTTP_BOUNDARY_SIZE])
{
    struct http_text rest, found = {0};
    struct parameter parameter;
    bool is_malformed = false;

    if (!http_multipart_is_form(content_type))
        return false;
    (void)take_main_value(content_type, &rest);
    while (next_parameter(&rest, &parameter, &is_malformed)) {
        if (!http_text_is_nocase(parameter.name, "boundary"))
            continue;
        if (found.data)
            return false;
        found = parameter.value;
    }
    if (is_malformed || !found.data || !is_boundary(found))
        return false;
    memcpy(out, found.data, found.len);
    out[found.len] = '\0';
    return true;
}

/* -- the head of a part */

/* Removes the backslashes of quoted pairs. Only quote and backslash are escaped: elsewhere a backslash is itself. */
static bool copy_parameter(char out[HTTP_MULTIPART_NAME_MAX + 1], struct http_text value)
{
    size_t len = 0;

    for (size_t i = 0; i < value.len; i++) {
        bool escaped = value.data[i] == '\\' && i + 1 < value.len && strchr("\"\\", value.data[i + 1]);

        i += escaped;
        if (len == HTTP_MULTIPART_NAME_MAX)
            return false;
        out[len++] = value.data[i];
    }
    out[len] = '\0';
    return len > 0;
}

static bool read_disposition(struct http_multipart *multipart, struct http_text value, struct http_multipart_part *part)
{
    struct http_text rest, type = take_main_value(value, &rest);
    struct parameter parameter;
    bool is_malformed = false;

    if (part->name[0])
        return multipart_malformed(multipart, "A part has two Content-Disposition headers or names.");
    if (!http_text_is_nocase(type, "form-data"))
        return multipart_malformed(multipart, "The Content-Disposition of a part is not form-data.");
    while (next_parameter(&rest, &parameter, &is_malformed)) {
        if (http_text_is_nocase(parameter.name, "filename") || http_text_is_nocase(parameter.name, "filename*"))
            part->is_file = true;
        if (!http_text_is_nocase(parameter.name, "name"))
            continue;
        if (part->name[0])
            return multipart_malformed(multipart, "A part has two Content-Disposition headers or names.");
        if (!copy_parameter(part->name, parameter.value))
            return multipart_malformed(multipart, "The name of a part is empty or too long.");
        if (!utf8_is_valid(part->name, strlen(part->name)))
            return multipart_malformed(multipart, "The name of a part is not UTF-8.");
    }
    if (is_malformed)
        return multipart_malformed(multipart, "The Content-Disposition of a part is malformed.");
    return part->name[0] || multipart_malformed(multipart, "A part has no name.");
}

static bool read_part_type(struct http_multipart *multipart, struct http_text value, struct http_multipart_part *part)
{
    if (part->content_type.data)
        return multipart_malformed(multipart, "A part has two Content-Type headers.");
    part->content_type = value;
    return true;
}

static bool read_encoding(struct http_multipart *multipart, struct http_text value, struct http_multipart_part *unused)
{
    static const char *const plain[] = {"binary", "8bit", "7bit"};

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(plain); i++)
        if (http_text_is_nocase(value, plain[i]))
            return true;
    return multipart_malformed(multipart, "The Content-Transfer-Encoding of a part is not binary.");
}

/* Other headers are ignored (RFC 7578, section 4.8). */
static bool read_header(struct http_multipart *multipart, struct http_text name, struct http_text value,
                        struct http_multipart_part *part)
{
    static const struct {
        const char *name;
        bool (*read)(struct http_multipart *multipart, struct http_text value, struct http_multipart_part *part);
    } rows[] = {
        {"Content-Disposition",       read_disposition},
        {"Content-Type",              read_part_type  },
        {"Content-Transfer-Encoding", read_encoding   },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (http_text_is_nocase(name, rows[i].name))
            return rows[i].read(multipart, value, part);
    return true;
}

static bool has_control_byte(struct http_text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return true;
    return false;
}

static bool read_line(struct http_multipart *multipart, struct http_text line, struct http_multipart_part *part)
{
    const char *colon = memchr(line.data, ':', line.len);
    struct http_text name = {line.data, colon ? (size_t)(colon - line.data) : 0};
    struct http_text value = {line.data + name.len + 1, line.len - name.len - (colon != NULL)};

    if (!colon || !http_is_token(name.data, name.len) || has_control_byte(value))
        return multipart_malformed(multipart, "A header line of a part is malformed.");
    return read_header(multipart, name, http_text_trim(value), part);
}

/* `head` has whole lines, without the empty one. */
static bool read_head(struct http_multipart *multipart)
{
    struct http_multipart_part part = {0};
    const char *at = multipart->head, *end = at + multipart->line_at;

    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at)); /* a CR is always followed by LF here */

        if (!read_line(multipart, (struct http_text){at, (size_t)(line_end - at)}, &part))
            return false;
        at = line_end + LINE_BREAK;
    }
    if (!part.name[0])
        return multipart_malformed(multipart, "A part has no Content-Disposition header.");
    if (multipart->parts++ == multipart->limits.parts_max)
        return multipart_malformed(multipart, "The form has too many parts.");
    return ask(multipart, multipart->handler.on_part(&part, multipart->handler.arg));
}

/* The line break of the empty line may also be that of the delimiter: a part without content (RFC 2046, body-part). */
static void begin_content(struct http_multipart *multipart)
{
    multipart->state = SEARCH;
    multipart->in_part = true;
    multipart->matched = multipart->assumed = LINE_BREAK;
}

static bool take_head_byte(struct http_multipart *multipart, char c)
{
    char last = multipart->head_len ? multipart->head[multipart->head_len - 1] : '\0';

    if ((last == '\r') != (c == '\n'))
        return multipart_malformed(multipart, "The header lines of a part must end with CR LF.");
    if (multipart->head_len == HTTP_MULTIPART_HEAD_MAX)
        return multipart_malformed(multipart, "The header of a part is too large.");
    multipart->head[multipart->head_len++] = c;
    if (c != '\n')
        return true;
    if (multipart->head_len - multipart->line_at == LINE_BREAK) {
        if (!read_head(multipart))
            return false;
        begin_content(multipart);
    }
    multipart->line_at = multipart->head_len;
    return true;
}

/* -- content and delimiters */

static bool multipart_ignore(struct http_multipart *multipart, size_t len)
{
    multipart->ignored += len;
    return multipart->ignored <= IGNORED_MAX ||
           multipart_malformed(multipart, "The form has too many bytes outside of its parts; is the boundary right?");
}

static bool pass_on(struct http_multipart *multipart, const char *bytes, size_t len)
{
    if (!len)
        return true;
    if (!multipart->in_part)
        return multipart_ignore(multipart, len);
    return ask(multipart, multipart->handler.on_content(bytes, len, multipart->handler.arg));
}

/* The bytes that looked like the delimiter were content. */
static bool give_up_match(struct http_multipart *multipart)
{
    size_t from = multipart->assumed, len = multipart->matched - from;

    multipart->matched = multipart->assumed = 0;
    return pass_on(multipart, multipart->delimiter + from, len);
}

static bool end_part(struct http_multipart *multipart)
{
    bool in_part = multipart->in_part;

    multipart->state = AFTER_BOUNDARY;
    multipart->matched = multipart->assumed = 0;
    multipart->in_part = false;
    return !in_part || ask(multipart, multipart->handler.on_part_end(multipart->handler.arg));
}

/* Takes at least one byte. CR is only at the delimiter's start, so after a mismatch no shorter match has to be considered. */
static size_t search_boundary(struct http_multipart *multipart, const char *bytes, size_t len)
{
    const char *cr;
    size_t plain;

    if (multipart->matched && bytes[0] == multipart->delimiter[multipart->matched]) {
        if (++multipart->matched == multipart->delimiter_len)
            (void)end_part(multipart);
        return 1;
    }
    if (!give_up_match(multipart))
        return 1;
    cr = memchr(bytes, '\r', len);
    plain = cr ? (size_t)(cr - bytes) : len;
    multipart->matched = cr != NULL;
    (void)pass_on(multipart, bytes, plain);
    return plain + (cr != NULL);
}

static bool begin_head(struct http_multipart *multipart)
{
    multipart->state = HEAD;
    multipart->head_len = multipart->line_at = 0;
    return true;
}

/* After the boundary and its padding: CRLF and a part, or "--". */
static bool take_delimiter_byte(struct http_multipart *multipart, char c)
{
    if (c == '-' && multipart->state == AFTER_BOUNDARY)
        multipart->state = CLOSE_DASH;
    else if (is_blank(c))
        multipart->state = PADDING;
    else if (c == '\r')
        multipart->state = DELIMITER_LF;
    else
        return multipart_malformed(multipart, "A line begins with the boundary, and has other text after it.");
    return true;
}

static bool take_byte(struct http_multipart *multipart, char c)
{
    switch ((enum state)multipart->state) {
    case AFTER_BOUNDARY:
    case PADDING:
        return (multipart->state != PADDING || multipart_ignore(multipart, 1)) && take_delimiter_byte(multipart, c);
    case DELIMITER_LF:
        return c == '\n' ? begin_head(multipart) : multipart_malformed(multipart, "Lines must end with CR LF.");
    case HEAD:
        return take_head_byte(multipart, c);
    case CLOSE_DASH:
        multipart->state = CLOSED;
        return c == '-' || multipart_malformed(multipart, "The last boundary must end with two dashes.");
    case CLOSED:
        multipart->state = c == '\r' ? CLOSED_LF : CLOSED;
        return (c == '\r' || is_blank(c) ||
                multipart_malformed(multipart, "The last boundary has other text after it.")) &&
               multipart_ignore(multipart, 1);
    case CLOSED_LF:
        multipart->state = EPILOGUE;
        return c == '\n' || multipart_malformed(multipart, "Lines must end with CR LF.");
    case EPILOGUE:
        return multipart_ignore(multipart, 1);
    case SEARCH:
    case FAILED:
        break;
    }
    return false;
}

/* -- the interface */

void http_multipart_init(struct http_multipart *multipart, const char *boundary,
                         const struct http_multipart_limits *limits, const struct http_multipart_handler *handler)
{
    size_t len = strlen(boundary);

    *multipart = (struct http_multipart){.limits = *limits, .handler = *handler};
    memcpy(multipart->delimiter, "\r\n--", 4);
    memcpy(multipart->delimiter + 4, boundary, len + 1);
    multipart->delimiter_len = (uint8_t)(4 + len);
    multipart->state = SEARCH;
    multipart->matched = multipart->assumed = LINE_BREAK; /* the first delimiter may be at the very start */
}

static bool multipart_is_closed(const struct http_multipart *multipart)
{
    return multipart->state == CLOSED || multipart->state == EPILOGUE;
}

enum http_parse http_multipart_run(struct http_multipart *multipart, const char *bytes, size_t len)
{
    size_t at = 0;

    if (multipart->state != FAILED && (int64_t)len > multipart->limits.total_max - multipart->total)
        (void)fail(multipart, HTTP_MULTIPART_TOO_LARGE, NULL);
    multipart->total += (int64_t)len;
    while (at < len && multipart->state != FAILED) {
        if (multipart->state == SEARCH)
            at += search_boundary(multipart, bytes + at, len - at);
        else
            (void)take_byte(multipart, bytes[at++]);
    }
    if (multipart->state == FAILED)
        return HTTP_PARSE_FAILED;
    return multipart_is_closed(multipart) ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}

enum http_parse http_multipart_finish(struct http_multipart *multipart)
{
    if (multipart->state != FAILED && !multipart_is_closed(multipart))
        (void)multipart_malformed(multipart, multipart->parts || multipart->in_part || multipart->state != SEARCH
                                                 ? "The form is not complete: its last boundary is missing."
                                                 : "The body does not have the boundary that Content-Type names.");
    return multipart->state == FAILED ? HTTP_PARSE_FAILED : HTTP_PARSE_DONE;
}
