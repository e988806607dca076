/* hints - what the viewers of waiting tasks are told of their places in the queue
 *
 * A watch is in here while it is live and its task may wait. Every interval_ms one PLACES call asks for all of them, or for the next
 * QUEUE_POSITIONS_BATCH where there are more; a watch whose place has changed, or who was not told for five intervals, is told. From the number
 * of tasks that have ended between two answers comes the queue's pace, and from that how long it may take.
 *
 * While there is none in here, nothing runs: no timer, no call.
 *
 * Ownership: the hub's; it borrows the watches between add and remove.
 * Threads:   loop thread only.   Units: ms.   Errors: a call that fails is made again at its next turn.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_QUEUE_POSITIONS_H
#define ARKRELAY_GATEWAY_STREAMS_QUEUE_POSITIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct queue_positions;
struct loop;
struct redis;
struct watch;

enum { QUEUE_POSITIONS_BATCH = 500 };

/* The part of a watch; zeroed: it is not in here. */
struct queue_position {
    TAILQ_ENTRY(watch) link;
    int64_t position, told_ms; /* what its viewers were told last, and when; position is 0 before that */
    unsigned slot;             /* its place in the call that is under way, from 1; 0: it is not asked for */
    bool listed;
};

struct queue_positions_config {
    struct redis *commands; /* borrowed */
    int64_t interval_ms;    /* 0: there are no hints */
};
struct queue_positions *
queue_positions_create(struct loop *loop, const struct queue_positions_config *config); /* NULL when out of memory */
struct queue_positions *
queue_positions_destroy(struct queue_positions *positions); /* accepts NULL; every watch is out; returns NULL */

/* The task may wait: watch_on_position follows, now and then. One that is in here already is told anew, for it has a new viewer. */
void queue_positions_add(struct queue_positions *positions, struct watch *watch);
void queue_positions_remove(struct queue_positions *positions, struct watch *watch); /* also one that is not in here */

#endif
