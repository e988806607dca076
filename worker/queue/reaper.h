/* reaper - settles jobs whose lease has expired
 *
 * Every worker runs REAP about once a second. A job with images ends with them. A job without images goes back into the queue, or fails if
 * its budget of paid calls or attempts is used up.
 *
 * After 3 seconds without a REAP, Redis or all workers were not running, and the owners of expired leases may be alive. REAP then settles
 * nothing for 5 seconds. Within that time, live workers reconnect and renew their leases.
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_QUEUE_REAPER_H
#define ARKRELAY_WORKER_QUEUE_REAPER_H

struct loop;
struct reaper;
struct redis;
struct settler;

/* All borrowed. NULL: out of memory. */
struct reaper *reaper_create(struct loop *loop, struct redis *redis, const char *prefix, struct settler *settler);
struct reaper *reaper_destroy(struct reaper *reaper); /* accepts NULL; returns NULL */

#endif
