/* reaper - finds jobs whose worker was lost
 *
 * Once a second every worker asks Redis to settle the leases that have lapsed (REAP). It holds back where lapsed leases
 * may still have an owner who just could not renew: for a while after Redis was away, and after this process itself stood
 * still; the owners come back within that time and renew first.
 *
 * Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_REAPER_H
#define ARKRELAY_WORKER_REAPER_H

struct loop;
struct reaper;
struct redis;

struct reaper *reaper_create(struct loop *loop, struct redis *redis, const char *prefix); /* NULL when out of memory */
struct reaper *reaper_destroy(struct reaper *reaper); /* accepts NULL; returns NULL */

/* Redis was away and is back. */
void reaper_hold(struct reaper *reaper);

#endif
