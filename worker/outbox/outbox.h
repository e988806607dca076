/* outbox - does what tasks have left to do after their events: copies of pictures, deletions, the sweep of expired days
 *
 * Asks Redis for entries that are due (LEASE), works on up to OUTBOX_CONCURRENCY of them, and reports each (SETTLE). Whatever fails does not
 * touch the task. A failure of a host makes Redis delay the entries of that host only. A failure of the storage, such as a full disk, makes
 * this worker take no copies for a while: 1 s, doubled up to 1 min; then one copy is tried.
 *
 *     LEASE -> copy ... -> SETTLE stored        LEASE -> delete -> SETTLE deleted
 *
 * Ownership: borrows everything in its config.
 * Threads:   loop thread only. The storage works on threads of its own.   Units: ms.
 * Errors:    each failed copy is logged once, with the end of the picture.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_OUTBOX_H
#define ARKRELAY_WORKER_OUTBOX_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/storage/outcome.h"

struct link_rules;
struct loop;
struct metrics;
struct outbox;
struct redis;
struct storage;
struct web;

struct outbox_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix; /* the partition's */
    struct web *web;    /* for downloads */
    struct storage *storage;
    const struct link_rules *rules;
    struct metrics *metrics; /* may be NULL */
    int concurrency;
    int64_t lease_ms;
    int64_t link_retry_ms;      /* until the next try where a link or its image is at fault */
    void (*on_idle)(void *arg); /* after outbox_stop: nothing is in flight any more */
    void *arg;
};

struct outbox *outbox_create(const struct outbox_config *config); /* NULL when out of memory */
struct outbox *outbox_destroy(struct outbox *outbox);             /* accepts NULL; returns NULL */

void outbox_resume(struct outbox *outbox); /* Redis is ready again */

/* Takes nothing more, and puts back what it has: another worker copies it. on_idle follows if this is false. */
bool outbox_stop(struct outbox *outbox);

/* For presence: what is wrong with the storage at present; STORAGE_DONE: nothing is known to be. */
enum storage_end outbox_trouble(const struct outbox *outbox);
int64_t outbox_waiting(const struct outbox *outbox); /* copies that wait, as Redis said last */
int outbox_copies(const struct outbox *outbox);      /* in flight */

#endif
