/* lease - renews the leases of all running jobs
 *
 * A lease is the time-limited right to run a job. RENEW runs three times per lease, and at once when Redis is ready again, with at most
 * 100 jobs per call. Its answer also tells a running job that the client cancelled the task, or that the lease was lost to another worker.
 *
 * Ownership: an entry is embedded in its job, which removes it before it is freed. The keeper borrows Redis.
 * Threads:   loop thread only.   Units: ms.
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
    const char *id, *fence;  /* borrowed until lease_remove */
    struct renewal *renewal; /* the RENEW call in flight that names it; NULL: none */
    size_t place;            /* its index in that call */
};

struct lease_events {
    /* Safe to remove the entry and free its job from inside both. */
    void (*on_cancelled)(struct lease_entry *entry, void *arg);
    void (*on_lease_lost)(struct lease_entry *entry,
                          void *arg); /* RENEW says so: REAP or another worker has the task */
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
lease_keeper_destroy(struct lease_keeper *keeper); /* accepts NULL; all entries must be removed; returns NULL */

void lease_add(struct lease_keeper *keeper, struct lease_entry *entry);
void lease_remove(struct lease_keeper *keeper, struct lease_entry *entry);
void lease_renew_now(struct lease_keeper *keeper);

#endif
