/* curl_loop - libcurl's multi interface on the event loop
 *
 * Watches libcurl's sockets and its timer. Reports finished transfers from outside of libcurl, where their handles may be removed.
 *
 * Ownership: borrows each easy handle from curl_loop_add to curl_loop_remove.
 * Threads:   loop thread only. libcurl is not reentrant: do not add or remove handles from inside a libcurl callback.
 */
#ifndef ARKRELAY_WEB_CURL_LOOP_H
#define ARKRELAY_WEB_CURL_LOOP_H

#include <curl/curl.h>

#include "common/base/err.h"

struct loop;
struct curl_loop;

/* The transfer has ended; its handle is still added. Safe to call curl_loop_remove and curl_loop_add from here. */
typedef void curl_loop_done_fn(CURL *easy, CURLcode code, void *arg);

struct curl_loop *curl_loop_create(struct loop *loop, curl_loop_done_fn *on_done,
                                   void *arg); /* NULL when out of memory */
struct curl_loop *
curl_loop_destroy(struct curl_loop *curl); /* accepts NULL; all handles must be removed; returns NULL */

int curl_loop_add(struct curl_loop *curl, CURL *easy) MUST_CHECK;
void curl_loop_remove(struct curl_loop *curl, CURL *easy); /* no-op if the handle was never added */

#endif
