/* http/request - one parsed request, and how to read its headers and query
 *
 * request_parser.h fills in the head, connection.c the body. RFC 9110 and RFC 9112.
 *
 * Ownership: all texts point into the bytes that the parser was given.
 * Pure.   Units: bytes.
 */
#ifndef ARKRELAY_HTTP_REQUEST_H
#define ARKRELAY_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/http/text.h"

enum { HTTP_HEADERS_MAX = 64 };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_METHOD_COUNT };

const char *http_method_name(enum http_method method);

struct http_header {
    struct http_text name, value; /* the value is trimmed */
};

struct http_request {
    enum http_method method;
    int minor;                    /* HTTP/1.<minor>, 0 or 1 */
    struct http_text path, query; /* not decoded; path is "/" if an absolute target has none; query has no "?" */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    int64_t content_length; /* 0 when absent */
    bool has_content_length, chunked, keep_alive, expect_continue;
    struct http_text body; /* decoded */
};

struct http_limits {
    size_t target_max, head_max;
    size_t headers_max; /* at most HTTP_HEADERS_MAX; 0 means HTTP_HEADERS_MAX */
    int64_t body_max;   /* after decoding */
    int64_t length_max; /* of Content-Length, above body_max for handlers that take the body themselves; 0: body_max */
};

/* What a decoder reports after each piece of input. */
enum http_parse { HTTP_PARSE_MORE, HTTP_PARSE_DONE, HTTP_PARSE_FAILED };

/* The value of the first header with this name, in any case; data is NULL if there is none. */
struct http_text http_request_header(const struct http_request *request, const char *name);

/* The value of a query parameter, percent-decoded into `out`. False if it is absent, too long, badly encoded or has a NUL. */
bool http_request_query(const struct http_request *request, const char *name, char *out, size_t size);

/* Does the query have this parameter, with any value or none? */
bool http_request_has_query(const struct http_request *request, const char *name);

/* As http_request_header, for a head that was refused: malformed, too long or incomplete. Reads the lines that end with CRLF, after
 * the request line and up to the empty line. */
struct http_text http_head_header(struct http_text head, const char *name);

#endif
