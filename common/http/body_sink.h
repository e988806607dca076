/* http/body_sink - where a request's body goes while it arrives (http_body_take in exchange.h)
 *
 * Callbacks: from the loop, never from inside http_body_take or http_body_resume. They may answer the exchange.
 */
#ifndef ARKRELAY_HTTP_BODY_SINK_H
#define ARKRELAY_HTTP_BODY_SINK_H

#include <stddef.h>

enum { HTTP_BODY_PIECE_MAX = 16 * 1024 };

struct http_body_sink {
    void (*on_bytes)(const char *bytes, size_t len,
                     void *arg); /* 1 to HTTP_BODY_PIECE_MAX bytes, without chunked coding */
    void (*on_end)(void *arg);   /* the body is complete; nothing follows */
};

#endif
