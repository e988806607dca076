/* hub - which tasks are watched by streams of this loop, and their Redis subscriptions
 *
 * One subscription per task, however many clients watch it. The first viewer subscribes. After the last one has left, the
 * subscription is parked for PARKED_MS, so that a client that reconnects finds it; then all parked ones are ended by one UNSUBSCRIBE.
 * After a reconnect of the subscriber connection, all watched tasks are subscribed again. What messages and lost messages mean for a
 * task is the watch's part (watch.h).
 *
 * If the last viewer leaves before Redis has confirmed the subscription, the watch stays until the confirmation arrives. Otherwise
 * the late confirmation could be taken for that of a newer subscription to the same task, and the newer viewer would read the log
 * before it is really subscribed.
 *
 * Ownership: owns its watches and the subscriber connection; borrows viewers between join and leave.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_HUB_H
#define ARKRELAY_GATEWAY_STREAMS_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct hub;
struct latency;
struct loop;
struct redis;
struct redis_config;
struct viewer;

struct hub_config {
    const struct redis_config *subscriber; /* copied; the hub sets events and arg */
    struct redis *commands;                /* borrowed; for reading logs */
    struct latency *latency;               /* borrowed */
    int64_t tail_check_ms;
    int64_t hints_ms; /* 0: no hints to viewers of waiting tasks */
};

struct hub *hub_create(struct loop *loop, const struct hub_config *config); /* NULL when out of memory */
struct hub *hub_destroy(struct hub *hub); /* accepts NULL; all viewers have left; returns NULL */

/* The caller has set viewer->callbacks. On success viewer->watch is set. Unless the watch is already subscribed, on_subscribed follows, never inside this call.
 * ERR_NOT_READY: Redis is not connected. */
int hub_join(struct hub *hub, struct viewer *viewer, const char *full_id) MUST_CHECK;
void hub_leave(struct hub *hub, struct viewer *viewer); /* at any time, also inside a callback of the viewer */

bool hub_is_watched(struct hub *hub, const char *full_id); /* the task has a viewer, live or not */
bool hub_is_ready(const struct hub *hub);                  /* the subscriber connection is up */

/* The command connection is up again. READs may have failed, so all logs are compared soon. */
void hub_on_commands_ready(struct hub *hub);

#endif
