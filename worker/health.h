/* health - the worker's small listener: /livez, /readyz and /metrics
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_HEALTH_H
#define ARKRELAY_WORKER_HEALTH_H

struct health;
struct loop;
struct metrics;
struct worker;

struct health_config {
    const char *listen;
    const struct worker *worker;
    struct metrics *metrics; /* NULL: there is nothing to tell */
};

/* On failure NULL, and *why says what the system said. Borrows what the config names. */
struct health *health_create(struct loop *loop, const struct health_config *config, const char **why);
struct health *health_destroy(struct health *health); /* accepts NULL; returns NULL */

#endif
