/* curl_loop - libcurl's multi interface on the event loop
 *
 * Gives libcurl its sockets and its one timer, and hands finished transfers on, outside of libcurl, where they may be
 * removed.
 *
 * Ownership: borrows the easy handles between add and on_done or remove.
 * Threads:   loop thread only. libcurl must not be entered from inside of its own callbacks: no add and no remove
 *            there.
 */
#ifndef ARKRELAY_WEB_CURL_LOOP_H
#define ARKRELAY_WEB_CURL_LOOP_H

#include <curl/curl.h>

#include "common/err.h"

struct loop;
struct curl_loop;

/* The handle is still added; curl_loop_remove may be called from here. */
typedef void curl_loop_done_fn(CURL *easy, CURLcode code, void *arg);

struct curl_loop *curl_loop_create(struct loop *loop, curl_loop_done_fn *on_done,
                                   void *arg);               /* NULL when out of memory */
struct curl_loop *curl_loop_destroy(struct curl_loop *curl); /* accepts NULL; every handle was removed; returns NULL */

int curl_loop_add(struct curl_loop *curl, CURL *easy) MUST_CHECK;
void curl_loop_remove(struct curl_loop *curl, CURL *easy); /* accepts one that was never added */

#endif
