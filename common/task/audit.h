/* audit - periodically checks and repairs the queue's data (AUDIT), and expires tasks
 *
 * The programs themselves keep the data consistent, but a manual redis-cli command, a restored backup or a lost key can break it.
 * The audit also expires tasks that waited too long: workers do that when they claim, but not while the queue is paused or no
 * worker is alive.
 *
 * Every gateway and worker runs this timer. Redis gives the turn to one process per interval; that process audits the whole index,
 * 200 tasks per call.
 *
 * Ownership: borrows everything in its config.
 * Threads:   loop thread only.   Units: ms.
 * Errors:    a failed call is logged; the next one follows within an interval.
 */
#ifndef ARKRELAY_TASK_AUDIT_H
#define ARKRELAY_TASK_AUDIT_H

#include <stdint.h>

struct audit;
struct loop;
struct redis;
struct settler;

struct audit_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix, *process; /* KEYS[1]; this process's name, see presence_name */
    int64_t interval_ms;          /* between two audits, counted over all processes */
    struct settler *settler;      /* told after a pass */
};

struct audit *audit_create(const struct audit_config *config); /* NULL when out of memory */
struct audit *audit_destroy(struct audit *audit);              /* accepts NULL; returns NULL */

#endif
