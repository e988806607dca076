/* disconnects - applies a request's on_disconnect after its client has disconnected
 *
 * The task is cancelled only if no stream of this loop watches it any more. A client that has already reconnected to this loop
 * keeps its task. Streams on other threads and gateways are not considered.
 *
 * Ownership: borrows the Redis connection, the hub and the settler; owns the CANCEL calls that are under way.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_DISCONNECTS_H
#define ARKRELAY_GATEWAY_STREAMS_DISCONNECTS_H

#include "gateway/request/on_disconnect.h"

struct disconnects;
struct hub;
struct redis;
struct settler;

/* NULL when out of memory */
struct disconnects *disconnects_create(struct redis *commands, struct hub *hub, struct settler *settler);
struct disconnects *disconnects_destroy(struct disconnects *disconnects); /* accepts NULL; returns NULL */

/* Call after the client's stream has left the hub. If CANCEL cannot be sent or fails, the task continues and a warning is logged. */
void disconnects_apply(struct disconnects *disconnects, const char *full_id, enum on_disconnect what);

#endif
