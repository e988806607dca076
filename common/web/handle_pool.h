/* easy_pool - libcurl's handles for calls to one server, each call on a connection of its own
 *
 * What such calls can have in common is here: handles that have served are emptied and kept for the next calls; the authorities that TLS
 * servers are checked against; the TLS sessions that servers offer to resume. Reading the authorities takes longer than all the
 * rest of a call, so they must be read once: libcurl keeps them with the multi for a day, but only where they come from one file and
 * not from a directory as well. A resumed session spares both sides most of the handshake; nothing is sent early.
 *
 * When the file of authorities changes, the next call reads it and resumes no session that was checked against the old content: a
 * server that resumes does not prove itself again.
 *
 * None of it may make a call fail that would not fail by itself. So a handle serves again only after an answer: where a name was not
 * found, libcurl 7.88 keeps the receive buffer, and from then on refuses to be told its size. And behind a call without an answer none
 * offers a session, until one has an answer: the session may be what the server does not bear.
 *
 * Ownership: a handle belongs to its taker until it is put back or dropped. The pool borrows ca_file and goes last: after all handles
 *            are back and their multi is gone.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WEB_HANDLE_POOL_H
#define ARKRELAY_WEB_HANDLE_POOL_H

#include <curl/curl.h>

struct handle_pool;

/* ca_file: PEM file with the authorities; NULL or "": the system's. NULL when out of memory. After curl_global_init. */
struct handle_pool *handle_pool_create(const char *ca_file);
struct handle_pool *handle_pool_destroy(struct handle_pool *pool); /* accepts NULL; returns NULL */

/* Each handle that is taken is put back or dropped, when it is in no multi. */
CURL *handle_pool_take(struct handle_pool *pool);               /* as new, except for TLS; NULL when out of memory */
void handle_pool_return(struct handle_pool *pool, CURL *easy);  /* its call had an answer */
void handle_pool_discard(struct handle_pool *pool, CURL *easy); /* it had none; accepts NULL */

#endif
