/* hints - what the viewers of waiting tasks are told of their places in the queue, and of what holds it up
 *
 * A watch is in here while it is live and its task may wait. Every interval_ms the account's books are read once, to see whether a circuit
 * breaker is open or a model paused. Then one PLACES call asks for all watches, or for the next QUEUE_POSITIONS_BATCH where there are more. Viewers are
 * told when the task's place or what holds it up has changed, and else after five intervals. A task outside of the queue, which waits for a
 * retry, has no place: its viewers are told of what holds it up, and when that has ended.
 *
 * From the number of tasks that have ended between two answers comes the queue's pace, and from that how long it may take. While anything
 * holds a task up, that is not told.
 *
 * While no watch is in here, nothing runs: no timer, no call.
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
    uint32_t wait_sum;         /* of what held it up then (account.h) */
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
