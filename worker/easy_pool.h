/* easy_pool - libcurl's handles for calls to one server, each call on a connection of its own
 *
 * What such calls can have in common is here: handles that have served are emptied and kept for the next calls; the authorities that TLS
 * servers are checked against; the TLS sessions that servers offer to resume. Reading the authorities takes longer than all the
 * rest of a call, so they must be read once: libcurl keeps them with the multi for a day, but only where they come from one file and
 * not from a directory as well. A resumed session spares both sides most of the handshake; nothing is sent early.
 *
 * Ownership: a handle belongs to its taker until it is put back. The pool borrows ca_file and goes last: after all handles are back and
 *            their multi is gone.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_EASY_POOL_H
#define ARKRELAY_EASY_POOL_H

#include <curl/curl.h>

struct easy_pool;

/* ca_file: PEM file with the authorities; NULL or "": the system's. NULL when out of memory. After curl_global_init. */
struct easy_pool *easy_pool_create(const char *ca_file);
struct easy_pool *easy_pool_destroy(struct easy_pool *pool); /* accepts NULL; returns NULL */

CURL *easy_pool_take(struct easy_pool *pool);           /* as new, except for TLS; NULL when out of memory */
void easy_pool_put(struct easy_pool *pool, CURL *easy); /* in no multi */

#endif
