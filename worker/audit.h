/* audit - looks whether every live task is where it should be
 *
 * Nothing of ours loses a task's place, but a hand on redis-cli, a restore or a lost key can. Every worker offers itself (AUDIT); Redis
 * gives the turn to one of them, once a minute, who goes through the index a page at a time.
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_AUDIT_H
#define ARKRELAY_WORKER_AUDIT_H

#include <stdint.h>

struct audit;
struct loop;
struct redis;

struct audit_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix, *worker; /* borrowed */
    int64_t interval_ms;         /* between two passes, whoever makes them */
};

struct audit *audit_create(const struct audit_config *config); /* NULL when out of memory */
struct audit *audit_destroy(struct audit *audit);              /* accepts NULL; returns NULL */

#endif
