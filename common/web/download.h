/* download - fetches a file that a link names, piece by piece
 *
 * For links that strangers may have chosen: only http and https, only addresses of the public internet unless the caller vouches for the
 * host, no redirects, no proxy, no key. The answer must be 200 and say how long it is: by Content-Length, or by chunks. An answer that ends
 * with its connection could be incomplete, and the client could not detect it.
 *
 * Takes about 48 KiB of memory, and with TLS about 50 KiB more in OpenSSL. A slow receiver calls download_pause.
 *
 * Ownership: the caller owns the download until on_done was called or download_cancel. It borrows the client.
 * Callbacks: from the loop, never from inside download_start. on_size once, before on_bytes; on_done once, last.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WEB_DOWNLOAD_H
#define ARKRELAY_WEB_DOWNLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { DOWNLOAD_PIECE_MAX = 16 << 10 }; /* of one on_bytes */

struct download;
struct web;

enum download_end {
    DOWNLOAD_DONE,      /* all bytes have arrived */
    DOWNLOAD_GONE,      /* 400 to 499, except 408, 425 and 429: the link has expired, or never was one */
    DOWNLOAD_FORBIDDEN, /* the host has no public address */
    DOWNLOAD_TOO_LARGE, /* larger than size_max */
    DOWNLOAD_FAILED,    /* anything else; a repetition may succeed */
};

struct download_outcome {
    enum download_end end;
    int status;        /* 0: none */
    const char *words; /* for logs, without the link; "" when done; valid during the callback */
};

struct download_events {
    void (*on_size)(int64_t size, void *arg); /* -1: not known */
    void (*on_bytes)(const char *bytes, size_t len, void *arg);
    void (*on_done)(const struct download_outcome *outcome, void *arg);
    void *arg;
};

struct download_setup {
    const char *url; /* copied */
    bool may_be_private;
    int64_t size_max;
    int64_t first_byte_ms, total_ms;
    struct download_events events;
};

/* ERR_NO_MEMORY; ERR_SYNTAX: not an http or https URL. */
int download_start(struct web *web, const struct download_setup *setup, struct download **out) MUST_CHECK;
void download_cancel(struct download *download); /* no callback follows */

/* No on_bytes follows until download_resume. */
void download_pause(struct download *download);
void download_resume(struct download *download);

#endif
