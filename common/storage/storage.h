/* storage - where pictures are kept: a directory or a bucket of S3
 *
 * One interface for both (directory.h, s3.h create one). Objects are written once, whole, and never changed. They are read in ranges and
 * deleted by name or, when their day has passed, by a sweep. name.h says what a name is.
 *
 * Writing takes two steps. A spool (spool.h) receives the bytes, checks them and holds them in a temporary file; storage_put then makes the
 * object of that file. A put that fails can be repeated without fetching the picture again.
 *
 * Ownership: the caller owns each call until its on_end or on_deleted was called, or storage_cancel. A call is started and ended by the
 *            caller's loop. End or cancel all calls and destroy all spools, then destroy the disk, then the storage.
 * Callbacks: on the loop, never from inside the function that starts a call, and not after storage_cancel. They may start and cancel calls.
 * Threads:   one loop. Each loop has a storage of its own; several may use the same directory or bucket, on several machines.
 * Units:     bytes, days since 1970 (UTC).
 * Errors:    a start fails with ERR_NO_MEMORY or ERR_TOO_LONG (too many operations at once); everything else is a struct storage_outcome.
 */
#ifndef ARKRELAY_STORAGE_STORAGE_H
#define ARKRELAY_STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/storage/name.h"
#include "common/storage/outcome.h"
#include "common/storage/record.h"
#include "common/storage/spool.h"

enum {
    STORAGE_READ_MAX = 64 << 10, /* of one on_bytes */
    STORAGE_IDENTITY_SIZE = 640,
    STORAGE_FREE_MIN_PERCENT = 5, /* copies stop while less of the disk is free */
};

struct buf;
struct storage;
struct storage_call;

struct storage *storage_destroy(struct storage *storage); /* accepts NULL; returns NULL */

/* Names this directory or bucket. Processes that work together have the same one; a directory of another machine has another one. */
const char *storage_identity(const struct storage *storage);

void storage_cancel(
    struct storage_call *call); /* no callback follows; a put or a deletion may have happened nevertheless */

/* -- writing */

typedef void storage_end_fn(const struct storage_outcome *outcome, void *arg);

int storage_spool(struct storage *storage, int64_t size, int64_t size_max, const struct spool_events *events,
                  struct spool **out) MUST_CHECK; /* like spool_start */

/* Makes the object `name` of a whole spool; replaces one of that name. `owner` must be valid (storage_owner_is_valid). The spool may be
 * destroyed meanwhile. */
int storage_put(struct storage *storage, struct spool *spool, const char *name, const char *owner,
                storage_end_fn *on_end, void *arg, struct storage_call **out) MUST_CHECK;

/* -- reading */

struct storage_range {
    int64_t at, len; /* len may be 0 */
};

struct storage_get_events {
    /* The object exists. `range` is the whole of it; the callback may set a part. Then storage_get_next starts the bytes. */
    void (*on_open)(const struct storage_about *about, struct storage_range *range, void *arg);
    void (*on_bytes)(const char *bytes, size_t len,
                     void *arg); /* at most STORAGE_READ_MAX; valid during the callback */
    storage_end_fn *on_end;      /* STORAGE_DONE: the range was read whole. It follows the last bytes by itself */
    void *arg;
};

int storage_get(struct storage *storage, const char *name, const struct storage_get_events *events,
                struct storage_call **out) MUST_CHECK;

/* Asks for the next bytes of the range: on_bytes or on_end follows. Call it once after on_open and once after each on_bytes, also from
 * inside. No-op when all bytes were given. */
void storage_get_next(struct storage_call *get);

/* Writes a link that reads the object for `seconds`, without any key. `file_name`: what a browser saves it as; NULL: it is shown.
 * ERR_NOT_FOUND: this kind of storage has no links. */
int storage_link(const struct storage *storage, const char *name, const char *file_name, int64_t wall_ms, int seconds,
                 struct buf *out) MUST_CHECK;

/* -- deleting */

int storage_delete(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg,
                   struct storage_call **out) MUST_CHECK;

/* `deleted` objects were deleted. `has_more`: at least one is left, start another sweep. An object that cannot be deleted, for example a locked
 * one, is passed, and the outcome says why. */
typedef void storage_swept_fn(const struct storage_outcome *outcome, int deleted, bool has_more, void *arg);

/* Deletes at most `max` objects of swept days, the oldest days first, and unfinished files of processes that have ended. */
int storage_sweep(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
                  struct storage_call **out) MUST_CHECK;

#endif
