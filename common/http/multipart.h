/* http/multipart - reads a multipart/form-data body piece by piece (RFC 7578; RFC 2046, section 5.1)
 *
 *     preamble -> delimiter -> { part head -> content -> delimiter } -> close delimiter -> epilogue
 *
 * Content is passed on as it arrives: nothing is buffered but one part head. The events of a body do not depend on how it is cut,
 * except that content may arrive in more or fewer pieces.
 *
 * Grammar: the RFC's. Lines end with CRLF; a delimiter begins a line. What clients really send is accepted too: names without
 * quotes (.NET), backslash escapes (curl before 7.81), filename* (old urllib3), Content-Transfer-Encoding 7bit, 8bit and binary
 * (Java). The other encodings are refused: the content would be stored encoded.
 *
 * Limits: those of the configuration, HTTP_MULTIPART_HEAD_MAX for a part head, and the same for preamble and epilogue together.
 *
 * Pure.   Units: bytes.   Errors: `error` and `detail`, after HTTP_PARSE_FAILED.
 */
#ifndef ARKRELAY_HTTP_MULTIPART_H
#define ARKRELAY_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/http/request.h"

enum {
    HTTP_BOUNDARY_MAX = 70, /* RFC 2046 */
    HTTP_BOUNDARY_SIZE = HTTP_BOUNDARY_MAX + 1,
    HTTP_MULTIPART_HEAD_MAX = 4096,
    HTTP_MULTIPART_NAME_MAX = 128,
};

/* The boundary that a Content-Type names. False: it is not multipart/form-data, or has no valid boundary. */
bool http_multipart_boundary(struct http_text content_type, char out[HTTP_BOUNDARY_SIZE]);

bool http_multipart_is_form(struct http_text content_type); /* multipart/form-data, with any parameters */

struct http_multipart_part {
    char name[HTTP_MULTIPART_NAME_MAX + 1]; /* of the form's field; UTF-8 without control bytes */
    bool is_file;                           /* it has a file name, which may be empty */
    struct http_text content_type;          /* data is NULL if absent; valid during on_part */
};

/* on_part, on_content (zero or more times) and on_part_end for each part. False stops the parser; the handler knows why. */
struct http_multipart_handler {
    bool (*on_part)(const struct http_multipart_part *part, void *arg);
    bool (*on_content)(const char *bytes, size_t len, void *arg); /* len > 0 */
    bool (*on_part_end)(void *arg);
    void *arg;
};

struct http_multipart_limits {
    unsigned parts_max;
    int64_t total_max; /* of the body */
};

enum http_multipart_error {
    HTTP_MULTIPART_MALFORMED, /* or above a limit on parts or heads; `detail` is the reason, a sentence */
    HTTP_MULTIPART_TOO_LARGE, /* more than total_max bytes */
    HTTP_MULTIPART_STOPPED,   /* by the handler */
};

struct http_multipart {
    struct http_multipart_handler handler;
    struct http_multipart_limits limits;
    char delimiter[4 + HTTP_BOUNDARY_MAX + 1]; /* CR LF "--" boundary */
    uint8_t delimiter_len;
    uint8_t matched; /* bytes of the delimiter that the input ends with */
    uint8_t assumed; /* how many of them were not in the input, or belong to the head: not content on a mismatch */
    uint8_t state;
    bool in_part; /* else the preamble */
    unsigned parts;
    int64_t total;
    size_t ignored; /* of the preamble and the epilogue */
    size_t head_len, line_at;
    char head[HTTP_MULTIPART_HEAD_MAX];
    enum http_multipart_error error;
    const char *detail; /* a constant; NULL unless malformed */
};

/* Copies everything. `boundary` is from http_multipart_boundary. */
void http_multipart_init(struct http_multipart *multipart, const char *boundary,
                         const struct http_multipart_limits *limits, const struct http_multipart_handler *handler);

/* The next bytes of the body. HTTP_PARSE_DONE: the close delimiter has arrived; what follows is checked and dropped. */
enum http_parse http_multipart_run(struct http_multipart *multipart, const char *bytes, size_t len);

/* After the last byte. HTTP_PARSE_FAILED: the body is not complete. */
enum http_parse http_multipart_finish(struct http_multipart *multipart);

#endif
