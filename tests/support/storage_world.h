/* storage_world - a loop, a disk pool, a temporary directory, and synchronous steps on a storage
 *
 * Each step runs the loop until its callback. A test that takes twenty seconds fails.
 */
#ifndef TESTS_SUPPORT_STORAGE_WORLD_H
#define TESTS_SUPPORT_STORAGE_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/storage/storage.h"

struct disk;
struct disk_pool;
struct event;
struct loop;

struct storage_world {
    struct loop *loop;
    struct event *deadline;
    struct disk_pool *pool;
    struct disk *disk;
    char path[64];           /* removed with all its content at the end */
    struct storage *storage; /* the test's own; destroyed at the end */

    struct storage_outcome outcome; /* of the last step */
    struct storage_about about;     /* of the last get */
    struct buf bytes;               /* of the last get */
    int deleted;                    /* of the last sweep */
    bool has_more;
    int ends, opens, rooms;
};

void storage_world_start(struct storage_world *world);
void storage_world_end(struct storage_world *world);

/* Runs the loop until `ends` or `opens` or `rooms` has grown. */
void storage_world_wait(struct storage_world *world, const int *counter);

extern const struct spool_events storage_world_spool_events; /* arg must be the world */

/* Steps of the world's storage. The outcome's end is returned. */
enum storage_end world_spool(struct storage_world *world, const void *bytes, size_t len, int64_t size, int64_t size_max,
                             struct spool **out);
enum storage_end world_put(struct storage_world *world, struct spool *spool, const char *name, const char *owner);
enum storage_end world_store(struct storage_world *world, const void *bytes, size_t len,
                             const char *name); /* both; owner "shop" */
enum storage_end world_get(struct storage_world *world, const char *name, int64_t at,
                           int64_t len); /* len -1: to the end */

/* A get that is cancelled in on_open, or in the first on_bytes. */
struct world_cancelled_get {
    bool in_open;
    bool after_next; /* requests more bytes before it cancels */
    struct storage_call *call;
    int opens, bytes; /* calls of on_open and on_bytes */
};

/* Starts it. Fails the test if on_end is called; `get` must live until the disk is idle. */
void world_get_cancelled(struct storage_world *world, const char *name, struct world_cancelled_get *get);

/* For calls that the test cancels: fails the test. */
void world_fail_on_end(const struct storage_outcome *outcome, void *arg);

enum storage_end world_delete(struct storage_world *world, const char *name);
enum storage_end world_sweep(struct storage_world *world, int today, int max);

/* A PNG's head, and `len` bytes altogether that depend on `seed`; the caller frees them. */
unsigned char *world_picture(size_t len, unsigned seed);

#endif
