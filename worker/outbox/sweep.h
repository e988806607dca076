/* sweep - deletes the pictures of days that have passed, about once an hour
 *
 * Nothing is deleted until Redis has said that this is the storage of all programs: it may be a directory that STORAGE names by mistake.
 *
 * Every worker with the role outbox sweeps. A picture that another worker has deleted already is not an error.
 *
 * Ownership: borrows everything in its config.   Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_SWEEP_H
#define ARKRELAY_WORKER_OUTBOX_SWEEP_H

struct loop;
struct metrics;
struct storage;
struct storage_check;
struct sweep;

struct sweep_config {
    struct loop *loop;
    struct storage *storage;
    const struct storage_check *check;
    struct metrics *metrics; /* may be NULL */
};

struct sweep *sweep_create(const struct sweep_config *config); /* NULL when out of memory */
struct sweep *sweep_destroy(struct sweep *sweep);              /* accepts NULL; returns NULL */
void sweep_stop(struct sweep *sweep);                          /* begins no further one */

#endif
