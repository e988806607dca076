/* headers - what the headers of a request say, as far as this API interprets them
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_HEADERS_H
#define ARKRELAY_GATEWAY_REQUEST_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/problem.h"
#include "common/http/request.h"
#include "common/task/task_event.h"

/* -- Content-Type and Accept */

/* application/json, without charset or with UTF-8. */
bool media_is_json(const char *content_type, size_t len);

/* A type of images, or application/octet-stream, with any parameters. content_type may be NULL. */
bool media_is_image(const char *content_type, size_t len);

/* Whether one Accept header accepts "type/subtype". The most specific range decides; q=0 excludes. */
bool media_is_accepted(const char *accept, size_t len, const char *type, const char *subtype);

/* The body is compressed, or encoded otherwise. */
bool headers_have_encoding(const struct http_request *request);

/* The first error in the head of a request with a JSON body: no length, another Content-Type, a Content-Encoding. PROBLEM_COUNT: none. */
enum problem headers_problem(const struct http_request *request);

/* -- Idempotency-Key: without the quotes that draft-ietf-httpapi-idempotency-key-header requires and most clients omit */

struct http_text idempotency_key_read(const struct http_request *request); /* data is NULL if it is absent */

/* -- traceparent (W3C Trace Context). Only valid values are stored with a task and logged: version 00 to fe, lower-case hex, ids that
 *    are not all zero. */

enum { TRACE_LEN = 55, TRACE_SIZE = TRACE_LEN + 1 }; /* "00-<32 hex>-<16 hex>-<2 hex>" */

/* Copies the traceparent; "" if it is invalid. `text` may be NULL if len is 0. */
void trace_read(char out[TRACE_SIZE], const char *text, size_t len);

/* -- Last-Event-ID: where a client wants to resume a stream. The header has priority over the query. In the query, `lastEventId` and
 *    `last_event_id` are accepted: EventSource polyfills that cannot set headers append lastEventId on every reconnect, also to a URL
 *    that already has last_event_id. The first one that is not empty counts. */

/* False: malformed. *resumes is false if there is no position, or an empty one: the client has no events yet. */
bool last_event_id_read(const struct http_request *request, bool *resumes, struct task_cursor *out);

#endif
