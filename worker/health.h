/* health - the worker's small listener: /livez and /readyz
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_HEALTH_H
#define ARKRELAY_WORKER_HEALTH_H

struct health;
struct loop;
struct runner;

/* On failure NULL, and *why says what the system said. Borrows the runner. */
struct health *health_create(struct loop *loop, const char *listen, const struct runner *runner, const char **why);
struct health *health_destroy(struct health *health); /* accepts NULL; returns NULL */

#endif
