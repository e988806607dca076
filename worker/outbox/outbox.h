/* outbox - leases entries of the queues of work that events leave to do, and reports how the work ended
 *
 *     LEASE -> create, start ... the work ... outbox_settle -> SETTLE -> on_settled -> destroy
 *
 * What is done with an entry is its kind's: one kind per queue (copies.h, deletions.h). Whatever fails does not touch the task. A failure of a
 * host makes Redis delay the entries of that host only. An entry whose worker is lost is due again when its lease has ended, so work may be
 * repeated and must be idempotent.
 *
 * Ownership: the outbox owns the entries between create and destroy, and borrows everything in its config.
 * Callbacks: on the loop. A kind's functions may call those of this header, also from inside start.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_OUTBOX_H
#define ARKRELAY_WORKER_OUTBOX_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop;
struct outbox;
struct outbox_entry;
struct redis;
struct redisReply;
struct script_run;

enum {
    OUTBOX_ID_SIZE = 65,
    OUTBOX_FENCE_SIZE = 40,
    OUTBOX_FIELDS = 3, /* where the fields of a kind begin in an entry of LEASE */
    OUTBOX_VALUES_MAX = 5,
};

/* One queue, and what is done with its entries. */
struct outbox_kind {
    const char *queue; /* its name in Redis */
    int lane_most;     /* leases of one lane at once, of all workers */

    int (*room)(int busy, void *owner); /* how many more entries may be leased while it has `busy` of them */

    /* Reads an entry of LEASE and returns the entry that it makes; NULL: it cannot be used. */
    struct outbox_entry *(*create)(const struct redisReply *reply, void *owner);
    void (*start)(struct outbox_entry *entry); /* the work; ends with outbox_settle or outbox_put_off */

    /* While draining. True: the work is given up, and the entry goes back. False: it ends by itself within moments. */
    bool (*stop)(struct outbox_entry *entry);

    /* Redis answered SETTLE: OK, LOST, or a word of this queue. True: there is more to do, and outbox_leave follows. NULL: never. */
    bool (*on_settled)(struct outbox_entry *entry, const char *answer);
    void (*destroy)(struct outbox_entry *entry);
    void *owner;
};

/* The first part of a kind's own struct. */
struct outbox_entry {
    TAILQ_ENTRY(outbox_entry) link;
    struct outbox *outbox;
    const struct outbox_kind *kind;
    char id[OUTBOX_ID_SIZE], fence[OUTBOX_FENCE_SIZE];
    int64_t tries;             /* failures of its own, and leases of lost workers */
    int64_t leased_ms;         /* monotonic */
    struct script_run *settle; /* NULL: not reported yet */
};

enum {
    OUTBOX_KINDS_MAX = 4,
    OUTBOX_LOG_ID = 8 /* characters of an id that logs show: the whole of a picture's is the permission to read it */
};

struct outbox_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix;                     /* the partition's */
    const struct outbox_kind *const *kinds; /* closed by NULL; the list is copied */
    int64_t lease_ms;
    void (*on_idle)(void *arg); /* after outbox_stop: nothing is in flight any more */
    void *arg;
};

struct outbox *outbox_create(const struct outbox_config *config); /* NULL when out of memory */
struct outbox *outbox_destroy(struct outbox *outbox);             /* accepts NULL; returns NULL */

void outbox_resume(struct outbox *outbox); /* Redis is ready again */

/* Takes nothing more, and puts back what it has: another worker does it. on_idle follows if this is false. */
bool outbox_stop(struct outbox *outbox);

/* Reports the end of the work. values: what SETTLE takes after the fence, closed by NULL, at most OUTBOX_VALUES_MAX. */
void outbox_settle(struct outbox_entry *entry, const char *const *values);

/* "again": it failed by itself, which counts as a try; "later": this worker cannot do it at present. */
void outbox_put_off(struct outbox_entry *entry, const char *outcome, int64_t delay_ms);

void outbox_leave(struct outbox_entry *entry); /* after on_settled returned true */

int64_t outbox_waiting(const struct outbox *outbox,
                       const struct outbox_kind *kind); /* entries that wait, as Redis said last */

#endif
