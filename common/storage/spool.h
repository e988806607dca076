/* spool - an image on its way into a storage: a temporary file that is checked while it is written
 *
 *     spool_start -> spool_write ... -> spool_end -> on_end: a whole image; its size, SHA-256, type and dimensions are known
 *                                              |-> storage_put, as often as needed
 *                                              `-> spool_destroy removes the file, unless a put moved it away
 *
 * All work on the disk is done by jobs of a `disk`. Between the loop and the jobs there is a buffer of SPOOL_BUFFER bytes: the writer pauses
 * while it is full. The first bytes must be those of a known image type, so a page of HTML ends after its first bytes.
 *
 * A temporary file is locked (flock) for as long as its process lives. spool_dir_open and spool_dir_clean remove files without a lock: their
 * process has died.
 *
 * Ownership: the caller owns the spool and destroys it at any time, also from its callbacks. It borrows disk and directory.
 * Threads:   the loop of the disk.   Units: bytes.
 * Errors:    on_end is called exactly once, unless the spool is destroyed before: with an outcome other than STORAGE_DONE when the disk
 *            fails or the bytes are not an image. The spool is then good for nothing but spool_destroy.
 */
#ifndef ARKRELAY_STORAGE_SPOOL_H
#define ARKRELAY_STORAGE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/storage/outcome.h"
#include "common/storage/record.h"

enum {
    SPOOL_BUFFER = 64 << 10,
    SPOOL_NAME_SIZE = 48,
    SPOOL_CLEAN_MAX = 1000, /* files that a sweep removes */
};

struct disk;
struct spool;

/* A directory of temporary files, possibly shared by several processes. If a cleaner of temporary files removes it, it is created again. */
struct spool_dir {
    int fd;
    char *path;
    int free_min_percent; /* no file is begun while less of the disk is free */
};

/* Opens the directory and cleans it. Blocks: call it before the loop runs, or in a job. ERR_NO_MEMORY; ERR_SYSTEM: `why` says what failed. */
int spool_dir_open(struct spool_dir *dir, const char *path, int free_min_percent, struct buf *why) MUST_CHECK;
void spool_dir_close(struct spool_dir *dir); /* no-op for a zeroed or closed one */

/* Creates a file there, locks it and writes its name. Blocks. Returns its descriptor; -1: errno. */
int spool_dir_create(const struct spool_dir *dir, char name[SPOOL_NAME_SIZE]);

/* Removes at most `max` files of processes that have died. Blocks. Returns the number removed. */
int spool_dir_clean(const struct spool_dir *dir, int max);

/* The share of the disk that is free, in percent of its blocks or, if smaller, of its files. Blocks. -1: errno. */
int spool_dir_free(const struct spool_dir *dir);

struct spool_events {
    void (*on_room)(void *arg); /* after spool_wait_for_room: half of the buffer is free */
    void (*on_end)(const struct storage_outcome *outcome, void *arg);
    void *arg;
};

struct spool_setup {
    const struct spool_dir *dir;
    struct disk *disk;
    int64_t size;     /* expected; -1: not known */
    int64_t size_max; /* a longer image is STORAGE_INVALID */
    struct spool_events events;
};

/* ERR_NO_MEMORY; ERR_TOO_LONG: the disk has too many jobs. */
int spool_start(const struct spool_setup *setup, struct spool **out) MUST_CHECK;
struct spool *spool_destroy(struct spool *spool); /* accepts NULL; returns NULL */

/* Takes as many bytes as the buffer has room for, and returns their number; on_room follows if that is not all. After a failure it takes
 * everything and drops it: on_end says why. */
size_t spool_write(struct spool *spool, const void *bytes, size_t len);
size_t spool_room(const struct spool *spool); /* what spool_write would take */

/* For a writer that cannot keep what was not taken: call it when less than half of the buffer is free, and pause. on_room follows, never from
 * inside. */
void spool_wait_for_room(struct spool *spool);
void spool_end(struct spool *spool); /* no more bytes follow */

/* -- after on_end with STORAGE_DONE */

/* `owner` is empty: it is the storage's to fill in. */
const struct storage_about *spool_about(const struct spool *spool);

/* -- for storages. A reference keeps the file open while a job uses it, whatever the owner does meanwhile. */

struct spool *spool_ref(struct spool *spool);
void spool_unref(struct spool *spool);
int spool_fd(const struct spool *spool);
int spool_dir_fd(const struct spool *spool);
const char *spool_name(const struct spool *spool); /* within that directory */

/* The file has been moved away: spool_destroy does not remove it. May be called in a job; the spool must be referenced. */
void spool_set_moved(struct spool *spool);

#endif
