/* byte_range - the part of a body that a GET requests (RFC 9110, sections 13 and 14)
 *
 * Understands If-None-Match, If-Range with an ETag, and one range of bytes. Several ranges, other units and malformed headers get the whole
 * body, which the RFC allows.
 *
 * Pure.   Units: bytes.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_BYTE_RANGE_H
#define ARKRELAY_GATEWAY_REQUEST_BYTE_RANGE_H

#include <stdint.h>

#include "common/http/request.h"

enum byte_range_kind {
    BYTE_RANGE_WHOLE,
    BYTE_RANGE_PART,
    BYTE_RANGE_OUTSIDE,    /* 416: it begins after the last byte */
    BYTE_RANGE_NONE_MATCH, /* 304: the client has this body */
};

struct byte_range {
    enum byte_range_kind kind;
    int64_t at, len;
};

/* etag: of the body, with its quotes. */
struct byte_range byte_range_read(const struct http_request *request, const char *etag, int64_t size);

#endif
