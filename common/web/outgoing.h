/* outgoing - one HTTP request that libcurl sends at most once
 *
 * Sets up a libcurl handle: URL, method, headers, body, timeouts, and the options that keep libcurl from sending a request a second time.
 * The receiver of the answer is set by the caller.
 *
 * Ownership: embedded in a call, which outlives the handle's use of it; a zeroed one is empty. The header lines are copied. The body
 *            belongs to the caller of outgoing_prepare until it is stored in `body`, which must happen before the handle runs.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WEB_OUTGOING_H
#define ARKRELAY_WEB_OUTGOING_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct outgoing {
    struct curl_slist *headers;
    char *body;
    size_t len, sent; /* `sent` counts the bytes of a body that libcurl reads in pieces */
};

/* All pointers are borrowed; the body for as long as the handle runs. */
struct outgoing_setup {
    const char *url, *user_agent; /* user_agent: may be NULL */
    const char *method;           /* NULL: POST */
    const char *const *headers;   /* "Name: value" lines, closed by NULL */
    const char *body;             /* of a POST */
    size_t body_len;
    int64_t upload_len; /* of a PUT, whose read function the caller sets */
    int64_t connect_ms, total_ms;
    size_t buffer; /* of each direction; 0: small ones */
    bool is_raw;   /* a compressed answer is not decoded */
};

bool outgoing_is_allowed(const char *url); /* https:// or http:// */

/* `easy` is new or reset. ERR_NO_MEMORY: the handle must not be used. */
int outgoing_prepare(struct outgoing *outgoing, CURL *easy, const struct outgoing_setup *setup) MUST_CHECK;

/* For libcurl's read function, which the caller sets if the body is unread after outgoing_prepare. */
size_t outgoing_read(struct outgoing *outgoing, char *out, size_t room);

/* libcurl has not read the whole body yet, so it cannot have sent it. Known only for large bodies, which it reads in pieces. */
bool outgoing_is_unread(const struct outgoing *outgoing);
void outgoing_deinit(struct outgoing *outgoing);

#endif
