/* worker_storage - STORAGE as this worker uses it: threads for the disk, the storage, and the check that all programs use the same one
 *
 * The outbox copies pictures into it. Jobs read uploads from it, and put images there that come as bytes.
 *
 * Ownership: embedded in the worker and zeroed before it is opened. Users of the storage are destroyed first.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WORKER_WORKER_STORAGE_H
#define ARKRELAY_WORKER_WORKER_STORAGE_H

#include <stdbool.h>

#include "common/storage/location.h"

struct disk_pool;
struct loop;
struct redis;
struct storage_check;
struct worker_options;

/* All are NULL if STORAGE is not set. */
struct worker_storage {
    struct disk_pool *pool;
    struct location location; /* its storage is NULL if it cannot be used and this worker can do without it */
    struct storage_check *check;
};

/* False: the worker cannot run without it; the reason was logged, except when out of memory. */
bool worker_storage_open(struct worker_storage *own, struct loop *loop, struct redis *redis,
                         const struct worker_options *options);
void worker_storage_close(struct worker_storage *own); /* accepts a zeroed one */

#endif
