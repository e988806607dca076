/* http/chunked - decodes a request body in chunked coding (RFC 9112, section 7.1)
 *
 *     SIZE -> extensions -> DATA -> SIZE ... -> TRAILER lines -> DONE
 *
 * Grammar: exactly the RFC's. A chunk size has 1 to 16 hexadecimal digits, every line ends with CRLF. Extensions and trailers must be
 * well-formed, and are discarded.
 *
 * Limits: body_max for the decoded bytes (413), 256 bytes of extensions per chunk (400), 2 KiB of trailers (431). The framing, which is
 * everything but content, is limited to 8 times the content so far plus 4 KiB (400), so that tiny chunks cannot make a small
 * body expensive.
 *
 * Each byte is judged by the bytes before it only, so the result does not depend on how the input is cut.
 *
 * Pure.   Units: bytes.   Errors: `problem` and `detail`, after HTTP_PARSE_FAILED.
 */
#ifndef ARKRELAY_HTTP_CHUNKED_H
#define ARKRELAY_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/problem.h"
#include "common/http/request.h"

struct http_chunked {
    int64_t body_max;
    int64_t content, framing; /* so far */
    uint64_t left;            /* content of the current chunk that has not arrived */
    unsigned digits;          /* of the current chunk size */
    unsigned extension;       /* length of the current chunk's extensions */
    unsigned trailer;         /* length of the trailer lines */
    uint8_t state;
    enum problem problem;
    const char *detail; /* a constant, or NULL */
};

void http_chunked_init(struct http_chunked *chunked, int64_t body_max);

/* Decodes at most up to the end of the body. *taken is the number of bytes used, *out_len the number of content bytes written to
 * `out`, which must have room for `len` bytes and may be equal to `bytes`. */
enum http_parse http_chunked_run(struct http_chunked *chunked, const char *bytes, size_t len, size_t *taken, char *out,
                                 size_t *out_len);

#endif
