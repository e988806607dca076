/* http/chunked - decodes a request body in chunked coding (RFC 9112, section 7.1)
 *
 *     SIZE -> extensions -> DATA -> SIZE ... -> TRAILER lines -> DONE
 *
 * The grammar is the RFC's, nothing lenient: a chunk size is 1 to 16 hexadecimal digits, every line ends with CRLF, extensions and
 * trailers are well formed. Extensions and trailers are checked and dropped.
 *
 * Limits: body_max for the decoded bytes (413), 256 bytes of extensions per chunk (400), 2 KiB of trailers (431). All bytes that are
 * not content may amount to 8 times the content so far plus 4 KiB (400), so that tiny chunks cannot make a small body expensive.
 *
 * Pure. Each byte is judged by the bytes before it only, so the result does not depend on how the input is cut.
 */
#ifndef ARKRELAY_HTTP_CHUNKED_H
#define ARKRELAY_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "common/http/request.h"
#include "common/problem.h"

struct http_chunked {
    int64_t body_max;
    int64_t content, framing; /* bytes so far */
    uint64_t left;            /* of the current chunk: bytes that are still to come */
    unsigned digits;          /* of the current chunk size */
    unsigned extension;       /* bytes of the current chunk's extensions */
    unsigned trailer;         /* bytes of trailer lines */
    uint8_t state;
    enum problem problem; /* after HTTP_PARSE_FAILED */
    const char *detail;   /* a constant, or NULL */
};

void http_chunked_init(struct http_chunked *chunked, int64_t body_max);

/* Decodes `bytes` up to the end of the body. *taken says how many bytes were used, *out_len how many of content were written to
 * `out`, which has room for `len` and may be equal to `bytes`. */
enum http_parse http_chunked_run(struct http_chunked *chunked, const char *bytes, size_t len, size_t *taken, char *out,
                                 size_t *out_len);

#endif
