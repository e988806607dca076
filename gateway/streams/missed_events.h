/* tails - finds the watches that have missed messages
 *
 * Pub/sub may lose a message, and where it was the last one, no gap tells. So a watch that has heard nothing for a while is compared
 * with its log, and so is one that has reason to doubt: its subscription was confirmed after Redis may have answered its streams, or a
 * connection was away. A doubt waits for a moment, in which the channel mostly settles it. Those of the same turn go together, MISSED_EVENTS_BATCH
 * in one call (script TAILS): Redis names the few that differ, and a hundred thousand idle streams cost it some hundred calls a second.
 * The comparison is repeated after each silence; so where a call fails, nothing more needs to be done.
 *
 * A log that lost events in a failover may grow back to a viewer's length. So the last event is compared too, by its sum.
 *
 * Ownership: the hub's; borrows the watches, which leave before they go.   Threads: loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_MISSED_EVENTS_H
#define ARKRELAY_GATEWAY_STREAMS_MISSED_EVENTS_H

#include <stddef.h>
#include <stdint.h>

struct loop;
struct redis;
struct missed_events;
struct watch;

enum { MISSED_EVENTS_BATCH = 128, CHECK_SOON_MS = 50 };

struct missed_events_config {
    struct redis *commands; /* borrowed */
    int64_t silence_ms;
    void (*on_differs)(const char *full_id, void *arg); /* the watch may be gone meanwhile */
    void *arg;
};

struct missed_events *missed_events_create(struct loop *loop,
                                           const struct missed_events_config *config); /* NULL when out of memory */
struct missed_events *
missed_events_destroy(struct missed_events *missed_events); /* accepts NULL; every watch has left; returns NULL */

/* What an event is compared by, as redis.sha1hex gives it; 0: this one is not compared. Large events are not: Redis would copy them for each
 * comparison. */
uint64_t missed_events_digest(const struct missed_events *missed_events, const char *json, size_t len);

/* It stands where the channel does: silence begins anew, and there is no doubt. Also to join. */
void missed_events_up_to_date(struct missed_events *missed_events, struct watch *watch);

/* It is compared CHECK_SOON_MS from now, unless it hears before that. */
void missed_events_check_soon(struct missed_events *missed_events, struct watch *watch);

void missed_events_remove(struct missed_events *missed_events, struct watch *watch);

#endif
