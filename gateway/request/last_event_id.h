/* last_event_id - where a client wants to resume a stream: the header Last-Event-ID, or the query
 *
 * The header has priority over the query. In the query, `lastEventId` and `last_event_id` are accepted: EventSource polyfills that
 * cannot set headers append lastEventId on every reconnect, also to a URL that already has last_event_id. The first one that is
 * not empty counts.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_LAST_EVENT_ID_H
#define ARKRELAY_GATEWAY_REQUEST_LAST_EVENT_ID_H

#include <stdbool.h>

#include "common/http/request.h"
#include "common/task_event.h"

/* False: malformed. *resumes is false if there is no position, or an empty one: the client has no events yet. */
bool last_event_id_read(const struct http_request *request, bool *resumes, struct task_cursor *out);

#endif
