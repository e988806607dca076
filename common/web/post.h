/* post - one HTTP POST that libcurl sends at most once
 *
 * Sets up a libcurl handle: URL, headers, body, timeouts, and the options that keep libcurl from sending a request a second time.
 * The receiver of the answer is set by the caller.
 *
 * Ownership: embedded in a call, which outlives the handle's use of it; a zeroed post is empty. The header lines are copied. The
 *            body belongs to the caller of post_prepare until it is stored in `body`, which must happen before the handle runs.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WEB_POST_H
#define ARKRELAY_WEB_POST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct post {
    struct curl_slist *headers;
    char *body;
    size_t len, sent; /* `sent` counts the bytes of a body that libcurl reads in pieces */
};

/* All pointers are borrowed; the body for as long as the handle runs. */
struct post_setup {
    const char *url, *user_agent; /* user_agent: may be NULL */
    const char *const *headers;   /* "Name: value" lines, closed by NULL */
    const char *body;
    size_t body_len;
    int64_t connect_ms, total_ms;
};

bool post_is_allowed(const char *url); /* https:// or http:// */

/* `easy` is new or reset. ERR_NO_MEMORY: the handle must not be used. */
int post_prepare(struct post *post, CURL *easy, const struct post_setup *setup) MUST_CHECK;
void post_deinit(struct post *post);

#endif
