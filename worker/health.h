/* health - the worker's HTTP listener for /livez, /readyz and /metrics
 *
 * Several workers may run on one host. With WORKER_LISTEN=auto, the first one gets LISTEN_DEFAULT and each further one a
 * free port, which its log names. An address that the operator chose is never replaced.
 *
 * Ownership: borrows everything in the config.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WORKER_HEALTH_H
#define ARKRELAY_WORKER_HEALTH_H

struct health;
struct loop;
struct metrics;
struct worker;

struct health_config {
    const char *listen; /* host:port, or LISTEN_AUTO */
    const struct worker *worker;
    struct metrics *metrics; /* may be NULL; /metrics then fails with 500 */
};

/* On failure returns NULL and sets *why to the system's error text. */
struct health *health_create(struct loop *loop, const struct health_config *config, const char **why);
struct health *health_destroy(struct health *health); /* accepts NULL; returns NULL */

/* The address that --healthcheck asks: that of the first worker on this host when `listen` is LISTEN_AUTO. */
const char *health_address(const char *listen);

#endif
