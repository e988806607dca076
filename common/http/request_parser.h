/* http/request_parser - parses the head of an HTTP/1.1 request, and says how its body is framed
 *
 * Grammar: RFC 9112, with these choices where the RFC leaves one:
 *   - Lines end with CRLF. No bare LF, no obs-fold. One empty line before the request line is ignored (section 2.2).
 *   - The target is in origin form or absolute form (http, https), without control bytes, spaces, "#" or bytes above 0x7e. The
 *     authority of an absolute target replaces the value of Host (section 3.2.2).
 *   - Host is required in HTTP/1.1 and must be a valid host with an optional port (section 3.2).
 *   - The body is framed by one Content-Length or by "Transfer-Encoding: chunked", never by both (section 6).
 *   - GET, HEAD, DELETE and OPTIONS take no body. Some headers may occur only once.
 * Any doubt about where the message ends is an error, and the connection must close after it.
 *
 * Each byte is judged by the bytes before it only, so the result does not depend on how the input is cut. The parser remembers
 * offsets, so the bytes may move in memory between calls.
 *
 * Pure.   Units: bytes.   Errors: `problem` and `detail`, after HTTP_PARSE_FAILED.
 */
#ifndef ARKRELAY_HTTP_REQUEST_PARSER_H
#define ARKRELAY_HTTP_REQUEST_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/problem.h"
#include "common/http/request.h"

struct http_parser {
    const struct http_limits *limits; /* borrowed */
    size_t line_start, scanned;       /* offsets into the bytes */
    struct {
        uint32_t name, name_len, value, value_len;
    } headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct {
        uint32_t at, len;
    } authority, path, query; /* authority: empty unless the target is absolute */
    enum http_method method;
    int minor;
    int64_t content_length; /* this and the next line: set when the head is complete */
    bool has_content_length, chunked, keep_alive, expect_continue;
    bool has_request_line, empty_line_skipped;
    enum problem problem;
    const char *detail; /* a constant, or NULL */
};

void http_parser_init(struct http_parser *parser, const struct http_limits *limits);

/* `bytes` are all bytes since init. After HTTP_PARSE_DONE, *head_len is the offset of the body. */
enum http_parse http_parser_run(struct http_parser *parser, const char *bytes, size_t len, size_t *head_len);

/* Valid after HTTP_PARSE_DONE. The texts of *out point into `bytes`. */
void http_parser_request(const struct http_parser *parser, const char *bytes, struct http_request *out);

/* True while at most an empty line has arrived since init. */
bool http_parser_has_only_empty_line(const struct http_parser *parser);

#endif
