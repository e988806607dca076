/* audit - looks through all live tasks: is each where it should be, and does none wait past its limit?
 *
 * The programs do not lose a task's place, but a hand on redis-cli, a restore or a lost key can. Workers expire tasks when they claim;
 * while the queue is paused or no worker is alive, this does. Every gateway and worker offers itself (AUDIT). Redis gives the turn to one of
 * them, once in an interval, and that process goes through the index a page at a time.
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_AUDIT_H
#define ARKRELAY_AUDIT_H

#include <stdint.h>

struct audit;
struct loop;
struct redis;

struct audit_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix, *process; /* KEYS[1], and the process's name; borrowed */
    int64_t interval_ms;          /* between two passes of all processes together */
};

struct audit *audit_create(const struct audit_config *config); /* NULL when out of memory */
struct audit *audit_destroy(struct audit *audit);              /* accepts NULL; returns NULL */

#endif
