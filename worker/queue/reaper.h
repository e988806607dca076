/* reaper - finds jobs whose worker was lost
 *
 * Once a second every worker asks Redis to settle the leases that have lapsed (REAP). Redis holds back for a while where nobody
 * has asked for some seconds: then it was away, or stood still, or all workers did, and lapsed leases may have owners who just
 * could not renew. They come back within that time and renew first.
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_QUEUE_REAPER_H
#define ARKRELAY_WORKER_QUEUE_REAPER_H

struct loop;
struct reaper;
struct redis;

struct reaper *reaper_create(struct loop *loop, struct redis *redis, const char *prefix); /* NULL when out of memory */
struct reaper *reaper_destroy(struct reaper *reaper); /* accepts NULL; returns NULL */

#endif
