#include "common/http/request.h"

#include <string.h>

#include "common/http/header_rules.h"
#include "common/http/host.h"

/* What a request line holds besides its target: the longest method worth an answer of its own, spaces, version, CRLF. */
enum { REQUEST_LINE_EXTRA = 32 };

static const char *const method_names[HTTP_METHOD_COUNT] = {
    [HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
    [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
};

const char *http_method_name(enum http_method method)
{
    return method_names[method];
}

void http_parser_init(struct http_parser *parser, const struct http_limits *limits)
{
    *parser = (struct http_parser){.limits = limits};
}

bool http_parser_has_only_empty_line(const struct http_parser *parser)
{
    return !parser->has_request_line && parser->scanned == parser->line_start;
}

static bool fail(struct http_parser *parser, enum problem problem, const char *detail)
{
    parser->problem = problem;
    parser->detail = detail;
    return false;
}

static bool bad_request(struct http_parser *parser, const char *detail)
{
    return fail(parser, PROBLEM_BAD_REQUEST, detail);
}

/* Judges one byte by what came before it only, so that any cut of the input fails at the same byte in the same way. */
static bool check_byte(struct http_parser *parser, const char *bytes, size_t at)
{
    unsigned char c = (unsigned char)bytes[at];
    bool after_cr = at > parser->line_start && bytes[at - 1] == '\r';

    if (after_cr != (c == '\n'))
        return bad_request(parser, "Lines end with CR LF");
    if (c == '\n' || c == '\r')
        return true;
    if (c == 0x7f || (c < 0x20 && c != '\t'))
        return bad_request(parser, "The head has a control byte");
    if (!parser->has_request_line && (c == '\t' || c > 0x7e))
        return bad_request(parser, "The request line has a byte that is not allowed there");
    return true;
}

static bool check_length(struct http_parser *parser, size_t at)
{
    if (!parser->has_request_line && at - parser->line_start >= parser->limits->target_max + REQUEST_LINE_EXTRA)
        return fail(parser, PROBLEM_URI_TOO_LONG, NULL);
    if (parser->has_request_line && at >= parser->limits->head_max)
        return fail(parser, PROBLEM_HEADERS_TOO_LARGE, NULL);
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool parse_version(struct http_parser *parser, const char *text, size_t len)
{
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7]))
        return bad_request(parser, "The request line is: method, target, HTTP/1.1, with one space between");
    if (text[5] != '1' || text[7] > '1')
        return fail(parser, PROBLEM_VERSION_UNSUPPORTED, NULL);
    parser->minor = text[7] - '0';
    return true;
}

static bool parse_method(struct http_parser *parser, const char *text, size_t len)
{
    if (!http_is_token(text, len))
        return bad_request(parser, "The method is not a token");
    for (int i = 0; i < HTTP_METHOD_COUNT; i++) {
        if (strlen(method_names[i]) == len && !memcmp(method_names[i], text, len)) {
            parser->method = (enum http_method)i;
            return true;
        }
    }
    return fail(parser, PROBLEM_METHOD_UNKNOWN, NULL);
}

/* The length of "http://" or "https://" at the front, else 0. */
static size_t scheme_length(const char *target, size_t len)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t scheme_len = strlen(schemes[i]);

        if (len > scheme_len && http_same_nocase(target, schemes[i], scheme_len))
            return scheme_len;
    }
    return 0;
}

/* Takes scheme and authority off the front of an absolute target (RFC 9112, section 3.2.2). */
static bool parse_authority(struct http_parser *parser, const char *bytes, size_t *at, size_t *len)
{
    size_t scheme = scheme_length(bytes + *at, *len);
    size_t authority_len = 0;

    if (!scheme)
        return true;
    *at += scheme;
    *len -= scheme;
    while (authority_len < *len && bytes[*at + authority_len] != '/' && bytes[*at + authority_len] != '?')
        authority_len++;
    if (!http_host_is_valid((struct http_text){bytes + *at, authority_len}))
        return bad_request(parser, "The target names no valid host");
    parser->authority.at = (uint32_t)*at;
    parser->authority.len = (uint32_t)authority_len;
    *at += authority_len;
    *len -= authority_len;
    return true;
}

static bool parse_target(struct http_parser *parser, const char *bytes, size_t at, size_t len)
{
    const char *target = bytes + at;
    const char *question = memchr(target, '?', len);

    if (len > parser->limits->target_max)
        return fail(parser, PROBLEM_URI_TOO_LONG, NULL);
    if (memchr(target, '#', len))
        return bad_request(parser, "The target has a fragment");
    if (!parse_authority(parser, bytes, &at, &len))
        return false;
    target = bytes + at;
    if (!parser->authority.len && (!len || target[0] != '/'))
        return bad_request(parser, "The target is a path that begins with a slash, or a URL with http or https");
    parser->path.at = (uint32_t)at;
    parser->path.len = (uint32_t)(question ? (size_t)(question - target) : len);
    if (question) {
        parser->query.at = parser->path.at + parser->path.len + 1;
        parser->query.len = (uint32_t)len - parser->path.len - 1;
    }
    return true;
}

/* The version is judged before the method, and both before the target, since another version or method may have another
 * form of target (the HTTP/2 preface, CONNECT). */
static bool parse_request_line(struct http_parser *parser, const char *bytes, size_t len)
{
    size_t method_at = parser->line_start;
    const char *line = bytes + method_at;
    const char *space = memchr(line, ' ', len);
    size_t method_len = space ? (size_t)(space - line) : 0;
    const char *target = space ? space + 1 : line;
    const char *second = space ? memchr(target, ' ', len - method_len - 1) : NULL;

    if (!second)
        return bad_request(parser, "The request line is: method, target, HTTP/1.1, with one space between");
    if (!parse_version(parser, second + 1, (size_t)(line + len - second - 1)))
        return false;
    if (!parse_method(parser, line, method_len))
        return false;
    if (!parse_target(parser, bytes, method_at + method_len + 1, (size_t)(second - target)))
        return false;
    parser->has_request_line = true;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static size_t headers_max(const struct http_limits *limits)
{
    bool is_own = limits->headers_max && limits->headers_max < HTTP_HEADERS_MAX;

    return is_own ? limits->headers_max : HTTP_HEADERS_MAX;
}

static bool parse_header_line(struct http_parser *parser, const char *bytes, size_t len)
{
    const char *line = bytes + parser->line_start;
    const char *colon = memchr(line, ':', len);
    const char *value, *end = line + len;

    if (!colon || !http_is_token(line, (size_t)(colon - line)))
        return bad_request(parser, "A header line is: name, colon, value, with no space before the colon");
    if (parser->header_count == headers_max(parser->limits))
        return fail(parser, PROBLEM_HEADERS_TOO_LARGE, "There are too many headers");
    for (value = colon + 1; value < end && is_blank(*value); value++)
        ;
    while (end > value && is_blank(end[-1]))
        end--;
    parser->headers[parser->header_count].name = (uint32_t)parser->line_start;
    parser->headers[parser->header_count].name_len = (uint32_t)(colon - line);
    parser->headers[parser->header_count].value = (uint32_t)(value - bytes);
    parser->headers[parser->header_count].value_len = (uint32_t)(end - value);
    parser->header_count++;
    return true;
}

void http_parser_request(const struct http_parser *parser, const char *bytes, struct http_request *out)
{
    *out = (struct http_request){
        .method = parser->method,
        .minor = parser->minor,
        .path = parser->path.len ? (struct http_text){bytes + parser->path.at,                            parser->path.len }
                                 : (struct http_text){"/",                                                1                },
        .query = {parser->query.at ? bytes + parser->query.at : NULL, parser->query.len},
        .header_count = parser->header_count,
        .content_length = parser->content_length,
        .has_content_length = parser->has_content_length,
        .chunked = parser->chunked,
        .keep_alive = parser->keep_alive,
        .expect_continue = parser->expect_continue,
    };
    for (size_t i = 0; i < parser->header_count; i++) {
        out->headers[i].name = (struct http_text){bytes + parser->headers[i].name, parser->headers[i].name_len};
        out->headers[i].value = (struct http_text){bytes + parser->headers[i].value, parser->headers[i].value_len};
    }
}

/* Host itself has been checked: RFC 9112, section 3.2, refuses a bad one also where it is not used. */
static void replace_host(struct http_parser *parser, const struct http_request *request)
{
    if (!parser->authority.len)
        return;
    for (size_t i = 0; i < parser->header_count; i++) {
        if (http_text_is_nocase(request->headers[i].name, "Host")) {
            parser->headers[i].value = parser->authority.at;
            parser->headers[i].value_len = parser->authority.len;
        }
    }
}

static enum http_parse finish_head(struct http_parser *parser, const char *bytes, size_t *head_len)
{
    struct http_request request;
    struct http_refusal refusal = {0};

    http_parser_request(parser, bytes, &request);
    if (!http_apply_header_rules(&request, parser->limits, &refusal)) {
        (void)fail(parser, refusal.problem, refusal.detail);
        return HTTP_PARSE_FAILED;
    }
    parser->content_length = request.content_length;
    parser->has_content_length = request.has_content_length;
    parser->chunked = request.chunked;
    parser->keep_alive = request.keep_alive;
    parser->expect_continue = request.expect_continue;
    replace_host(parser, &request);
    *head_len = parser->scanned;
    return HTTP_PARSE_DONE;
}

/* A line has ended at parser->scanned. */
static enum http_parse parse_line(struct http_parser *parser, const char *bytes, size_t *head_len)
{
    size_t len = parser->scanned - parser->line_start - strlen("\r\n");
    bool ok;

    if (!len && parser->has_request_line)
        return finish_head(parser, bytes, head_len);
    if (!len && !parser->empty_line_skipped)
        ok = parser->empty_line_skipped = true;
    else if (parser->has_request_line)
        ok = parse_header_line(parser, bytes, len);
    else
        ok = parse_request_line(parser, bytes, len);
    parser->line_start = parser->scanned;
    return ok ? HTTP_PARSE_MORE : HTTP_PARSE_FAILED;
}

enum http_parse http_parser_run(struct http_parser *parser, const char *bytes, size_t len, size_t *head_len)
{
    enum http_parse parse = HTTP_PARSE_MORE;

    while (parse == HTTP_PARSE_MORE && parser->scanned < len) {
        size_t at = parser->scanned;

        if (!check_length(parser, at) || !check_byte(parser, bytes, at))
            return HTTP_PARSE_FAILED;
        parser->scanned++;
        if (bytes[at] == '\n')
            parse = parse_line(parser, bytes, head_len);
    }
    return parse;
}
