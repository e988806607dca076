/* lease - keeps the leases of all running jobs alive
 *
 * Every third of the lease, and at once when Redis is there again, all leases are renewed, in calls of at most a hundred jobs. The answer
 * is also how a running job hears that its client wants it stopped, or that it lost its lease.
 *
 * Ownership: an entry is a member of its job; the job removes it before it goes. The keeper borrows Redis.
 * Threads:   the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_QUEUE_LEASE_H
#define ARKRELAY_WORKER_QUEUE_LEASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct lease_keeper;
struct loop;
struct redis;
struct renewal;

struct lease_entry {
    TAILQ_ENTRY(lease_entry) link;
    const char *id, *fence;  /* borrowed while the entry is added */
    struct renewal *renewal; /* the call that carries it, NULL for none */
    size_t place;            /* in that call */
};

struct lease_events {
    /* The entry may be removed, and its job freed, from inside of either. */
    void (*on_cancelled)(struct lease_entry *entry, void *arg);
    void (*on_lost)(struct lease_entry *entry, void *arg);
};

struct lease_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix;
    int64_t lease_ms;
    struct lease_events events;
    void *arg;
};

struct lease_keeper *lease_keeper_create(const struct lease_config *config); /* NULL when out of memory */
struct lease_keeper *
lease_keeper_destroy(struct lease_keeper *keeper); /* accepts NULL; no entry is left; returns NULL */

void lease_add(struct lease_keeper *keeper, struct lease_entry *entry);
void lease_remove(struct lease_keeper *keeper, struct lease_entry *entry);
void lease_renew_now(struct lease_keeper *keeper);

#endif
