/* disconnect - a client has left its stream: what becomes of the task
 *
 * By default the task goes on: it may be paid for already, and its client can resume. A request can say otherwise, in its field
 * on_disconnect; that is said about one connection, and is no part of the task. It counts once nobody watches the task any more
 * through the same loop of this gateway: a client that has come back meanwhile keeps its task.
 *
 * Ownership: `disconnects` borrows the connection and the hub, and owns the calls that are under way.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_DISCONNECTS_H
#define ARKRELAY_GATEWAY_STREAMS_DISCONNECTS_H

#include <stdbool.h>

struct disconnects;
struct hub;
struct redis;

enum on_disconnect {
    ON_DISCONNECT_FINISH,           /* the task goes on */
    ON_DISCONNECT_CANCEL_IF_QUEUED, /* it is cancelled while it waits */
    ON_DISCONNECT_CANCEL,           /* it is cancelled, or asked to end when it runs */
    ON_DISCONNECT_COUNT,
};

/* "finish", "cancel_if_queued", "cancel" */
bool on_disconnect_parse(const char *name, enum on_disconnect *out);

struct disconnects *disconnects_create(struct redis *commands, struct hub *hub); /* NULL when out of memory */
struct disconnects *disconnects_destroy(struct disconnects *disconnects);        /* accepts NULL; returns NULL */

/* The client's stream has left the hub already. While Redis is away the task goes on, whatever was asked. */
void disconnects_apply(struct disconnects *disconnects, const char *full_id, enum on_disconnect how);

#endif
