/* http/incoming - the bytes of one request as they arrive, and of the requests that follow it (private to http/)
 *
 *     input:  [ head | body, decoded | later requests ]
 *             0      head_len        end
 *
 * The body of a request whose handler takes it (exchange.h) is not kept: after the head, `input` has only bytes that were not given to the
 * handler yet, or those of later requests.
 *
 * Ownership: belongs to its connection.   Threads: the loop's thread only.   Units: bytes.
 */
#ifndef ARKRELAY_HTTP_INCOMING_H
#define ARKRELAY_HTTP_INCOMING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/http/body_sink.h"
#include "common/http/chunked.h"
#include "common/http/request_parser.h"
#include "common/http/route.h"

enum { REQUEST_ID_MAX = 64, SEGMENT_SIZE = 256, READ_CHUNK = 16 * 1024, HEAD_CHUNK = 4 * 1024 };

struct incoming_request {
    struct buf input;
    size_t head_len, body_len;  /* body_len: decoded; so far, if the body is taken */
    bool is_taken, is_paused;   /* the handler takes the body while it arrives; and has paused it */
    struct http_body_sink sink; /* of a body that is taken */
    size_t end;                 /* offset of the next request; 0: this request is not complete */
    struct http_parser parser;
    struct http_chunked chunked; /* used if the request says so */
    struct http_request request; /* valid once the head is complete */
    struct http_route_match match;
    struct http_text segment;       /* what {id} matched, decoded */
    char segment_buf[SEGMENT_SIZE]; /* `segment` points here if it was percent-encoded */
    char request_id[REQUEST_ID_MAX + 1];
    struct buf headers; /* of the answer: the lines that the handler added */
};

struct incoming_request *incoming_create(const struct http_limits *limits);   /* NULL when out of memory */
struct incoming_request *incoming_destroy(struct incoming_request *incoming); /* accepts NULL; returns NULL */

/* The head is complete: sets `request`. */
void incoming_begin_head(struct incoming_request *incoming);

/* Parses what has arrived of the body. */
enum http_parse incoming_begin_body(struct incoming_request *incoming, const struct http_limits *limits);
enum http_parse
incoming_parse_body(struct incoming_request *incoming); /* more bytes have arrived; DONE: `request` is valid */

/* Instead of incoming_begin_body: the handler takes the body. */
void incoming_begin_taking(struct incoming_request *incoming, int64_t body_max);
bool incoming_is_whole(const struct incoming_request *incoming); /* of a sized body that is taken */

/* Moves bytes of the body that were read with the head to `out`, not decoded. Returns their number. */
size_t incoming_take_ahead(struct incoming_request *incoming, char *out, size_t size);

/* Decodes bytes of a body that is taken, in place; *content bytes remain. Bytes of later requests are kept in `input`. */
enum http_parse incoming_decode(struct incoming_request *incoming, char *bytes, size_t len, size_t *content);
void incoming_end_body(struct incoming_request *incoming); /* after the last byte: `request` is valid */

/* How much to read of an incomplete body: nothing of later requests after a body with Content-Length, at most HEAD_CHUNK after chunks. */
size_t incoming_body_read_size(const struct incoming_request *incoming);

/* The request has been answered. With bytes of later requests, it becomes the next one, and true is returned. */
bool incoming_next(struct incoming_request *incoming, const struct http_limits *limits);

/* The bytes of later requests as a new object; NULL if there are none. ERR_NO_MEMORY. */
int incoming_copy_rest(const struct incoming_request *incoming, const struct http_limits *limits,
                       struct incoming_request **out) MUST_CHECK;

#endif
