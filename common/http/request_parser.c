#include "common/http/request_parser.h"

#include "common/base/ascii.h"
#include "common/base/macros.h"

#include <arpa/inet.h>
#include <string.h>

enum {
    REQUEST_LINE_EXTRA = 32, /* bytes besides the target: method, two spaces, version, CRLF */
    PORT_MAX = 65535,
};

#define REQUEST_LINE_SYNTAX "The request line must be method, target and HTTP/1.1, separated by single spaces"

void http_parser_init(struct http_parser *parser, const struct http_limits *limits)
{
    *parser = (struct http_parser){.limits = limits};
}

bool http_parser_has_only_empty_line(const struct http_parser *parser)
{
    return !parser->has_request_line && parser->scanned == parser->line_start;
}

static bool parser_fail(struct http_parser *parser, enum problem problem, const char *detail)
{
    parser->problem = problem;
    parser->detail = detail;
    return false;
}

static bool bad_request(struct http_parser *parser, const char *detail)
{
    return parser_fail(parser, PROBLEM_BAD_REQUEST, detail);
}

/* -- a host with an optional port: Host, and the authority of an absolute target
 *
 * RFC 3986, section 3.2.2, which allows an empty port. RFC 9110, section 4.2.1, forbids an empty host. */

static bool is_host_port(struct http_text text)
{
    long port = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.data[i]))
            return false;
        port = port * 10 + (text.data[i] - '0');
        if (port > PORT_MAX)
            return false;
    }
    return true;
}

static bool is_percent_escape(const char *text, size_t len)
{
    return len >= 3 && text[0] == '%' && ascii_hex_value(text[1]) >= 0 && ascii_hex_value(text[2]) >= 0;
}

/* Covers IPv4 addresses, which are valid names too. */
static bool is_host_name(struct http_text text)
{
    static const char allowed[] = "-._~"        /* unreserved */
                                  "!$&'()*+,;=" /* sub-delims */
                                  "%";
    const char *end = text.data + text.len;

    if (!http_is_made_of(text.data, text.len, allowed))
        return false;
    for (const char *at = text.data; (at = memchr(at, '%', (size_t)(end - at))); at++)
        if (!is_percent_escape(at, (size_t)(end - at)))
            return false;
    return true;
}

static bool is_ipv6_address(struct http_text text)
{
    unsigned char address[sizeof(struct in6_addr)];
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET6, copy, address) == 1;
}

static bool is_host(struct http_text host)
{
    bool bracketed = host.len && host.data[0] == '[';
    const char *end = host.len ? memchr(host.data, bracketed ? ']' : ':', host.len) : NULL;
    size_t name_len = end ? (size_t)(end - host.data) + bracketed : host.len;
    struct http_text name = {host.data, name_len};
    struct http_text rest = {host.data + name_len, host.len - name_len};

    if (bracketed && (!end || !is_ipv6_address((struct http_text){name.data + 1, name.len - 2})))
        return false;
    if (!bracketed && !is_host_name(name))
        return false;
    return !rest.len || (rest.data[0] == ':' && is_host_port((struct http_text){rest.data + 1, rest.len - 1}));
}

/* -- the request line */

static bool parse_version(struct http_parser *parser, const char *text, size_t len)
{
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !ascii_is_digit(text[5]) || text[6] != '.' ||
        !ascii_is_digit(text[7]))
        return bad_request(parser, REQUEST_LINE_SYNTAX);
    if (text[5] != '1' || text[7] > '1')
        return parser_fail(parser, PROBLEM_VERSION_UNSUPPORTED, NULL);
    parser->minor = text[7] - '0';
    return true;
}

static bool parse_method(struct http_parser *parser, const char *text, size_t len)
{
    if (!http_is_token(text, len))
        return bad_request(parser, "The method must be a token");
    for (int i = 0; i < HTTP_METHOD_COUNT; i++) {
        const char *name = http_method_name((enum http_method)i);

        if (strlen(name) == len && !memcmp(name, text, len)) {
            parser->method = (enum http_method)i;
            return true;
        }
    }
    return parser_fail(parser, PROBLEM_METHOD_UNKNOWN, NULL);
}

/* The length of "http://" or "https://" at the start of the target, or 0. */
static size_t target_scheme_length(const char *target, size_t len)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++) {
        size_t scheme_len = strlen(schemes[i]);

        if (len > scheme_len && http_same_nocase(target, schemes[i], scheme_len))
            return scheme_len;
    }
    return 0;
}

/* Removes scheme and authority from the start of an absolute target. */
static bool parse_authority(struct http_parser *parser, const char *bytes, size_t *at, size_t *len)
{
    size_t scheme = target_scheme_length(bytes + *at, *len);
    size_t authority_len = 0;

    if (!scheme)
        return true;
    *at += scheme;
    *len -= scheme;
    while (authority_len < *len && bytes[*at + authority_len] != '/' && bytes[*at + authority_len] != '?')
        authority_len++;
    if (!is_host((struct http_text){bytes + *at, authority_len}))
        return bad_request(parser, "The target must have a valid host");
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
        return parser_fail(parser, PROBLEM_URI_TOO_LONG, NULL);
    if (memchr(target, '#', len))
        return bad_request(parser, "The target must not have a fragment");
    if (!parse_authority(parser, bytes, &at, &len))
        return false;
    target = bytes + at;
    if (!parser->authority.len && (!len || target[0] != '/'))
        return bad_request(parser, "The target must be a path that begins with a slash, or an http or https URL");
    parser->path.at = (uint32_t)at;
    parser->path.len = (uint32_t)(question ? (size_t)(question - target) : len);
    if (question) {
        parser->query.at = parser->path.at + parser->path.len + 1;
        parser->query.len = (uint32_t)len - parser->path.len - 1;
    }
    return true;
}

/* Checks the version first, then the method, then the target: another version or method may have another form of target, such as the
 * HTTP/2 preface or CONNECT. */
static bool parse_request_line(struct http_parser *parser, const char *bytes, size_t len)
{
    size_t method_at = parser->line_start;
    const char *line = bytes + method_at;
    const char *space = memchr(line, ' ', len);
    size_t method_len = space ? (size_t)(space - line) : 0;
    const char *target = space ? space + 1 : line;
    const char *second = space ? memchr(target, ' ', len - method_len - 1) : NULL;

    if (!second)
        return bad_request(parser, REQUEST_LINE_SYNTAX);
    if (!parse_version(parser, second + 1, (size_t)(line + len - second - 1)))
        return false;
    if (!parse_method(parser, line, method_len))
        return false;
    if (!parse_target(parser, bytes, method_at + method_len + 1, (size_t)(second - target)))
        return false;
    parser->has_request_line = true;
    return true;
}

/* -- header lines */

static size_t headers_max(const struct http_limits *limits)
{
    bool is_own = limits->headers_max && limits->headers_max < HTTP_HEADERS_MAX;

    return is_own ? limits->headers_max : HTTP_HEADERS_MAX;
}

static bool parse_header_line(struct http_parser *parser, const char *bytes, size_t len)
{
    const char *line = bytes + parser->line_start;
    const char *colon = memchr(line, ':', len);
    struct http_text value;

    if (!colon || !http_is_token(line, (size_t)(colon - line)))
        return bad_request(parser, "A header line must be name, colon and value, with no space before the colon");
    if (parser->header_count == headers_max(parser->limits))
        return parser_fail(parser, PROBLEM_HEADERS_TOO_LARGE, "The request has too many headers");
    value = http_text_trim((struct http_text){colon + 1, (size_t)(line + len - colon - 1)});
    parser->headers[parser->header_count].name = (uint32_t)parser->line_start;
    parser->headers[parser->header_count].name_len = (uint32_t)(colon - line);
    parser->headers[parser->header_count].value = (uint32_t)(value.data - bytes);
    parser->headers[parser->header_count].value_len = (uint32_t)value.len;
    parser->header_count++;
    return true;
}

/* -- what the headers mean for HTTP itself: a table of rules over the complete head, first failure wins */

typedef bool rule_fn(struct http_parser *parser, const struct http_request *request);

static size_t count_headers(const struct http_request *request, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < request->header_count; i++)
        n += http_text_is_nocase(request->headers[i].name, name);
    return n;
}

/* 0 if the header may occur more than once. */
static unsigned once_only_bit(struct http_text name)
{
    static const char *const names[] = {"Host",          "Content-Length", "Transfer-Encoding", "Content-Type",
                                        "Authorization", "Last-Event-ID",  "Idempotency-Key",   "Origin"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (http_text_is_nocase(name, names[i]))
            return 1u << i;
    return 0;
}

static bool rule_once_only(struct http_parser *parser, const struct http_request *request)
{
    unsigned seen = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        unsigned bit = once_only_bit(request->headers[i].name);

        if (seen & bit)
            return bad_request(parser, "A header that may occur only once is repeated");
        seen |= bit;
    }
    return true;
}

/* RFC 9112, section 3.2: a bad Host is refused even if the target is absolute and replaces it. */
static bool rule_host(struct http_parser *parser, const struct http_request *request)
{
    struct http_text host = http_request_header(request, "Host");

    if (!host.data && request->minor == 0)
        return true;
    if (!host.data || !is_host(host))
        return bad_request(parser, "Host must be present and be a valid host with an optional port");
    return true;
}

static bool takes_body(enum http_method method)
{
    switch (method) {
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_PATCH:
        return true;
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_DELETE:
    case HTTP_OPTIONS:
    case HTTP_METHOD_COUNT:
        break;
    }
    return false;
}

/* RFC 9112, sections 6.1 and 6.3. Content-Length next to Transfer-Encoding is how requests are smuggled past proxies. */
static bool rule_transfer_encoding(struct http_parser *parser, const struct http_request *request)
{
    struct http_text coding = http_request_header(request, "Transfer-Encoding");

    if (!coding.data)
        return true;
    if (http_request_header(request, "Content-Length").data)
        return bad_request(parser, "A request must not have both Transfer-Encoding and Content-Length");
    if (request->minor == 0)
        return bad_request(parser, "HTTP/1.0 does not support Transfer-Encoding");
    if (!http_text_is_nocase(coding, "chunked"))
        return bad_request(parser, "The only supported Transfer-Encoding is chunked");
    if (!takes_body(request->method))
        return bad_request(parser, "A request with this method must not have a body");
    parser->chunked = true;
    return true;
}

/* Saturates at INT64_MAX instead of overflowing; such a body is too large anyway. */
static bool parse_length(struct http_text text, int64_t *out)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.data[i]))
            return false;
        value = value > (INT64_MAX - 9) / 10 ? INT64_MAX : value * 10 + (text.data[i] - '0');
    }
    *out = value;
    return text.len > 0;
}

static int64_t length_max(const struct http_limits *limits)
{
    return limits->length_max ? limits->length_max : limits->body_max;
}

static bool rule_content_length(struct http_parser *parser, const struct http_request *request)
{
    struct http_text length = http_request_header(request, "Content-Length");

    if (!length.data)
        return true;
    parser->has_content_length = true;
    if (!parse_length(length, &parser->content_length))
        return bad_request(parser, "Content-Length must be a decimal number");
    if (parser->content_length && !takes_body(request->method))
        return bad_request(parser, "A request with this method must not have a body");
    if (parser->content_length > length_max(parser->limits))
        return parser_fail(parser, PROBLEM_BODY_TOO_LARGE, NULL);
    return true;
}

/* RFC 9110, section 10.1.1: HTTP/1.0 has no Expect, and a request without a body needs no 100. */
static bool rule_expect(struct http_parser *parser, const struct http_request *request)
{
    struct http_text expect = http_request_header(request, "Expect");

    if (!expect.data || request->minor == 0)
        return true;
    if (count_headers(request, "Expect") > 1 || !http_text_is_nocase(expect, "100-continue"))
        return parser_fail(parser, PROBLEM_EXPECTATION_FAILED, NULL);
    parser->expect_continue = parser->content_length > 0 || parser->chunked;
    return true;
}

static bool list_has(struct http_text list, const char *token)
{
    const char *end = list.data + list.len;

    for (const char *at = list.data; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *item_end = comma ? comma : end;

        if (http_text_is_nocase(http_text_trim((struct http_text){at, (size_t)(item_end - at)}), token))
            return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}

/* RFC 9112, section 9.3. HTTP/1.0 connections always close after one answer, even if the client asks for keep-alive. */
static bool rule_connection(struct http_parser *parser, const struct http_request *request)
{
    parser->keep_alive = request->minor == 1;
    for (size_t i = 0; i < request->header_count; i++)
        if (http_text_is_nocase(request->headers[i].name, "Connection") && list_has(request->headers[i].value, "close"))
            parser->keep_alive = false;
    return true;
}

static bool apply_rules(struct http_parser *parser, const struct http_request *request)
{
    static rule_fn *const rules[] = {
        rule_once_only, rule_host, rule_transfer_encoding, rule_content_length, rule_expect, rule_connection,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rules); i++)
        if (!rules[i](parser, request))
            return false;
    return true;
}

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

/* -- bytes */

static bool check_byte(struct http_parser *parser, const char *bytes, size_t at)
{
    unsigned char c = (unsigned char)bytes[at];
    bool after_cr = at > parser->line_start && bytes[at - 1] == '\r';

    if (after_cr != (c == '\n'))
        return bad_request(parser, "Lines must end with CR LF");
    if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r')
        return true;
    if (c == 0x7f || (c < 0x20 && c != '\t'))
        return bad_request(parser, "The head must not have control bytes");
    if (!parser->has_request_line) /* a tab, or a byte above ASCII */
        return bad_request(parser, "The request line has a byte that is not allowed");
    return true;
}

/* The first position that this line, or the whole head, may not reach. */
static size_t scan_end(const struct http_parser *parser)
{
    return parser->has_request_line ? parser->limits->head_max
                                    : parser->line_start + parser->limits->target_max + REQUEST_LINE_EXTRA;
}

void http_parser_request(const struct http_parser *parser, const char *bytes, struct http_request *out)
{
    struct http_text path = {bytes + parser->path.at, parser->path.len};

    *out = (struct http_request){
        .method = parser->method,
        .minor = parser->minor,
        .path = path.len ? path : (struct http_text){"/",                                                1                },
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

static enum http_parse finish_head(struct http_parser *parser, const char *bytes, size_t *head_len)
{
    struct http_request request;

    http_parser_request(parser, bytes, &request);
    if (!apply_rules(parser, &request))
        return HTTP_PARSE_FAILED;
    replace_host(parser, &request);
    *head_len = parser->scanned;
    return HTTP_PARSE_DONE;
}

/* The line that ends at parser->scanned. */
static enum http_parse parser_take_line(struct http_parser *parser, const char *bytes, size_t *head_len)
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

/* Scans to the end of the line or of the bytes. */
static enum http_parse scan_line(struct http_parser *parser, const char *bytes, size_t len, size_t *head_len)
{
    size_t end = scan_end(parser);

    while (parser->scanned < len) {
        size_t at = parser->scanned;

        if (at >= end) {
            (void)parser_fail(parser, parser->has_request_line ? PROBLEM_HEADERS_TOO_LARGE : PROBLEM_URI_TOO_LONG,
                              NULL);
            return HTTP_PARSE_FAILED;
        }
        if (!check_byte(parser, bytes, at))
            return HTTP_PARSE_FAILED;
        parser->scanned++;
        if (bytes[at] == '\n')
            return parser_take_line(parser, bytes, head_len);
    }
    return HTTP_PARSE_MORE;
}

enum http_parse http_parser_run(struct http_parser *parser, const char *bytes, size_t len, size_t *head_len)
{
    enum http_parse parse = HTTP_PARSE_MORE;

    while (parse == HTTP_PARSE_MORE && parser->scanned < len)
        parse = scan_line(parser, bytes, len, head_len);
    return parse;
}
