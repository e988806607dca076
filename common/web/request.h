/* post - one HTTP POST as libcurl needs it: options, head and body
 *
 * Ownership: embedded by its owner, who goes after the handle; a zeroed post is empty. The head is copied. The body stays the caller's until
 *            it is stored in `body`, which is to happen before the handle runs.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WEB_REQUEST_H
#define ARKRELAY_WEB_REQUEST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct web_request;
struct web_setup;

struct post {
    struct curl_slist *headers;
    char *body;
    size_t len, sent; /* `sent` counts where libcurl asks for the body piece by piece */
};

/* Whether a POST can go to this URL: https:// or http://. */
bool post_may_go_to(const char *url);

/* Tells a new handle all that the request is, but not who takes the answer. ERR_NO_MEMORY: the handle must not be used. */
int post_prepare(struct post *post, CURL *easy, const struct web_setup *setup,
                 const struct web_request *request) MUST_CHECK;
void post_deinit(struct post *post);

#endif
