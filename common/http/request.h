/* http/request - one HTTP/1.1 request head, parsed
 *
 * Grammar: RFC 9112, nothing lenient. Lines end with CRLF; no obs-fold; one valid Host; a body by one Content-Length of digits or by
 * "Transfer-Encoding: chunked" (http/chunked.h), never both; targets in origin form or absolute form (http, https) without controls,
 * spaces or bytes above 0x7e. The authority of an absolute target replaces the value of Host. One empty line before the request
 * line is ignored. Every ambiguity about where a message ends is an error after which the connection must close.
 *
 * The parser is a pure function over the bytes that have arrived: it looks at each complete line once and remembers only
 * offsets, so the bytes may come in any cut and move in memory in between.
 *
 * Ownership: texts of a parsed request point into the bytes that http_parser_request is given.
 */
#ifndef ARKRELAY_HTTP_REQUEST_H
#define ARKRELAY_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/problem.h"

enum { HTTP_HEADERS_MAX = 64 };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_METHOD_COUNT };

const char *http_method_name(enum http_method method);

/* A piece of text that no NUL ends. */
struct http_text {
    const char *data; /* NULL: absent */
    size_t len;
};

struct http_header {
    struct http_text name, value; /* the value without white space around it */
};

struct http_request {
    enum http_method method;
    int minor;                    /* HTTP/1.<minor>, 0 or 1 */
    struct http_text path, query; /* as sent, but "/" if an absolute target has no path; the query without its "?" */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    int64_t content_length; /* 0 when absent */
    bool has_content_length, chunked, keep_alive, expect_continue;
    struct http_text body; /* filled by the connection; decoded */
};

struct http_limits {
    size_t target_max, head_max; /* bytes */
    size_t headers_max;          /* 0: HTTP_HEADERS_MAX, which it cannot exceed */
    int64_t body_max;
};

enum http_parse { HTTP_PARSE_MORE, HTTP_PARSE_DONE, HTTP_PARSE_FAILED };

struct http_parser {
    const struct http_limits *limits;
    size_t line_start, scanned; /* offsets into the bytes */
    struct {
        uint32_t name, name_len, value, value_len;
    } headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct {
        uint32_t at, len;
    } authority, path, query; /* authority: of an absolute target, else empty */
    enum http_method method;
    int minor;
    int64_t content_length; /* these five: what the headers mean, once they are whole */
    bool has_content_length, chunked, keep_alive, expect_continue;
    bool has_request_line, empty_line_skipped;
    enum problem problem; /* after HTTP_PARSE_FAILED */
    const char *detail;   /* a constant */
};

void http_parser_init(struct http_parser *parser, const struct http_limits *limits);

/* Only an empty line has come since init, or nothing. */
bool http_parser_has_only_empty_line(const struct http_parser *parser);

/* `bytes` are all that have come since init. After HTTP_PARSE_DONE, *head_len is where the body begins. */
enum http_parse http_parser_run(struct http_parser *parser, const char *bytes, size_t len, size_t *head_len);

/* The request that a parser in HTTP_PARSE_DONE has read. */
void http_parser_request(const struct http_parser *parser, const char *bytes, struct http_request *out);

/* The value of the header with this name (any case); data is NULL when it is absent. */
struct http_text http_request_header(const struct http_request *request, const char *name);

/* Percent-decoding (RFC 3986); a "+" stands for itself. False when the text is badly encoded, holds a NUL or does not fit. */
bool http_text_decode(struct http_text text, char *out, size_t size);

/* The value of a query parameter, percent-decoded into `out`. False when absent, too long, badly encoded or holding a NUL. */
bool http_request_query(const struct http_request *request, const char *name, char *out, size_t size);

bool http_text_is(struct http_text text, const char *other); /* exactly */

int http_hex_value(char c); /* of a hexadecimal digit; -1: it is none */

bool http_same_nocase(const char *a, const char *b, size_t len); /* ASCII case folded */

/* Inline, so that the length of a literal, which already tells most names apart, is a constant. */
static inline bool http_text_is_nocase(struct http_text text, const char *other)
{
    return text.data && text.len == strlen(other) && http_same_nocase(text.data, other, text.len);
}

#endif
