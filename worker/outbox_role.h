/* outbox_role - the part of a worker that has the role outbox: it keeps pictures and delivers webhooks
 *
 * Owns the outbox, and for each kind of entry that is configured what does its work:
 *
 *     STORAGE         downloads, the rules for links, pictures (copies, deletions), the sweep of expired pictures
 *     WEBHOOK_SECRET  the client for receivers, webhooks
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_ROLE_H
#define ARKRELAY_WORKER_OUTBOX_ROLE_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct metrics;
struct outbox_role;
struct presence_entry;
struct redis;
struct worker_options;
struct worker_storage;

/* Borrows everything. */
struct outbox_role_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix; /* the partition's */
    const struct worker_options *options;
    struct metrics *metrics;              /* may be NULL */
    const struct worker_storage *storage; /* open */
    void (*on_idle)(void *arg);           /* after outbox_role_stop returned false: nothing is in flight any more */
    void *arg;
};

/* This worker has the role, and something to do in it. */
bool outbox_role_is_on(const struct worker_options *options);

struct outbox_role *
outbox_role_create(const struct outbox_role_config *config); /* NULL on an error, which was logged, or out of memory */
struct outbox_role *outbox_role_destroy(struct outbox_role *role); /* returns NULL */

/* All accept NULL: the role is off. */
void outbox_role_resume(struct outbox_role *role); /* Redis is ready again */
bool outbox_role_stop(struct outbox_role *role);   /* takes nothing more. False: on_idle follows */
void outbox_role_describe(const struct outbox_role *role, struct presence_entry *entry);
void outbox_role_fill_metrics(const struct outbox_role *role, struct metrics *metrics); /* the gauges */

#endif
