/* disk_pool - a few threads for work that may block on a disk
 *
 * A process has one pool. Each event loop has a `disk`, its access to the pool: it starts jobs, and the loop learns when they end.
 *
 * A job is one blocking step: open, read, write, fsync, hash. run() is called on a thread of the pool, then done() on the loop.
 * Jobs begin in the order of their starts; several run at once. A job that must follow another one is started from its done().
 *
 * disk_start begins some work, and is refused if too many jobs wait. disk_follow starts a later step of the same work, and is never refused:
 * work that has begun is not lost to a full queue. An object has one job at a time, so the queue is bounded by the number of objects.
 *
 * Ownership: the memory of a job belongs to the caller, usually as a member of an object. It must stay valid until done() is called.
 *            Destroy each disk before its loop, and the pool after all disks.
 * Threads:   disk_* on the disk's loop only; run() on any thread of the pool.
 * Limits:    disk_start is refused while `waiting_max` jobs of the pool wait.
 */
#ifndef ARKRELAY_BASE_DISK_POOL_H
#define ARKRELAY_BASE_DISK_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "common/base/err.h"

struct disk;
struct disk_pool;
struct loop;

struct disk_job {
    void (*run)(struct disk_job *job); /* on a thread of the pool: touches nothing that the loop uses meanwhile */
    void (*done)(
        struct disk_job *job); /* on the loop, once, never from inside disk_start or disk_cancel; may free the job */

    bool was_run; /* for done(): false if the job was cancelled before it began, or the disk is being destroyed */

    struct disk *disk; /* the rest is private */
    bool waits;
    STAILQ_ENTRY(disk_job) link;
};

/* NULL when out of memory or threads. threads: 1 to 64. */
struct disk_pool *disk_pool_create(int threads, size_t waiting_max);
struct disk_pool *disk_pool_destroy(struct disk_pool *pool); /* accepts NULL; all disks are destroyed; returns NULL */

struct disk *disk_create(struct disk_pool *pool, struct loop *loop); /* NULL when out of memory or descriptors */

/* Waits until the running jobs have ended, drops the waiting ones, and calls done() of each job before it returns. If done() calls
 * disk_follow, that job is dropped too, and its done() is called. A done() whose job was not run must therefore not always call
 * disk_follow again. Accepts NULL; returns NULL. */
struct disk *disk_destroy(struct disk *disk);

/* ERR_TOO_LONG: too many jobs wait; ERR_CLOSED: the disk is being destroyed. After an error, done() is not called. */
int disk_start(struct disk *disk, struct disk_job *job) MUST_CHECK;
void disk_follow(struct disk *disk, struct disk_job *job);

/* Ends a started job early: if it still waits, run() is not called. done() always follows. */
void disk_cancel(struct disk_job *job);

size_t disk_in_flight(const struct disk *disk); /* jobs whose done() was not called yet */

#endif
