/* handle_pool - libcurl's easy handles, and the TLS state that calls share
 *
 * For calls to one server, each on a connection of its own. The pool keeps:
 *
 * - Handles of finished calls, reset, for the next calls.
 * - The CA certificates. Loading them takes longer than the rest of a call, so libcurl caches them for a day. It caches them only if
 *   they come from a file and there is no CA directory.
 * - TLS sessions that servers offer for resumption. A resumed session saves most of the handshake. No early data is sent.
 *
 * When the CA file changes, the next call loads it, and sessions that were verified against the old file are no longer resumed: a
 * server does not send its certificate again when it resumes a session.
 *
 * The pool must not make a call fail that would have succeeded with a new handle. Therefore:
 *
 * - Only a handle whose call got an answer is used again. libcurl 7.88 keeps the receive buffer after a failed name lookup and then
 *   rejects CURLOPT_BUFFERSIZE.
 * - After a call without an answer, calls do not resume sessions until one gets an answer. The server may fail because of the session.
 *
 * Ownership: a handle belongs to the caller until it is returned or discarded. The pool borrows ca_file. Destroy it after the multi
 *            handle, when all easy handles are back.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WEB_HANDLE_POOL_H
#define ARKRELAY_WEB_HANDLE_POOL_H

#include <curl/curl.h>

struct handle_pool;

/* ca_file: PEM file with CA certificates; NULL or "": the system's. Call curl_global_init first. NULL when out of memory. */
struct handle_pool *handle_pool_create(const char *ca_file);
struct handle_pool *handle_pool_destroy(struct handle_pool *pool); /* accepts NULL; returns NULL */

/* Return or discard each handle after removing it from its multi handle. */
CURL *handle_pool_take(struct handle_pool *pool); /* as new, with TLS options set; NULL when out of memory */
void handle_pool_return(struct handle_pool *pool, CURL *easy);  /* its call got an answer */
void handle_pool_discard(struct handle_pool *pool, CURL *easy); /* its call got no answer; accepts NULL */

#endif
