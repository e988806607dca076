/* hub - who is listening to which task
 *
 * One Redis subscription per task, however many clients watch it. It begins with the first stream, and ends a moment after the last
 * has left, together with others that ended then: one command unsubscribes them all, and who comes back at once finds it. After a
 * reconnect every task that is watched is subscribed to again. What a subscription brings, and what it may have missed, is the watch's
 * business (watch.h).
 *
 * A watch whose last stream leaves before Redis has confirmed the subscription stays until it has: otherwise that late
 * confirmation could be taken for the one of a newer subscription to the same task.
 *
 * Ownership: the hub owns its watches and its subscriber connection, and borrows the streams between join and leave.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_HUB_H
#define ARKRELAY_GATEWAY_STREAMS_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct hub;
struct latency;
struct loop;
struct redis;
struct redis_config;
struct stream;
struct watch;

struct hub_config {
    const struct redis_config *subscriber; /* events and arg are the hub's to set; copied */
    struct redis *commands;                /* borrowed; reads the log */
    int64_t tail_check_ms;
    int64_t hints_ms;        /* 0: waiting viewers are not told their places */
    struct latency *latency; /* borrowed */
};

struct hub *hub_create(struct loop *loop, const struct hub_config *config); /* NULL when out of memory */
struct hub *hub_destroy(struct hub *hub); /* accepts NULL; every stream has left; returns NULL */

/* On success stream->watch is set, and stream_on_subscribed() follows unless the watch is subscribed already; never from
 * inside this call. ERR_NOT_READY while Redis is away. */
int hub_join(struct hub *hub, struct stream *stream, const char *full_id) MUST_CHECK;
void hub_leave(struct hub *hub, struct stream *stream); /* any time, also from inside of a delivery */

/* Does any stream of this loop watch the task, or is about to? */
bool hub_is_watched(struct hub *hub, const char *full_id);

/* Are messages delivered at the moment? */
bool hub_is_ready(const struct hub *hub);

/* The command connection is back: whoever may have missed a read is compared with the log. */
void hub_on_commands_ready(struct hub *hub);

#endif
