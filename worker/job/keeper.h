/* keeper - the images of a job that came as bytes, on their way into the storage
 *
 *     DECODING --all bytes are spooled, and are an image--> PUTTING --stored--> on_kept
 *
 * An image that cannot be stored within KEEPER_MS goes the way that it goes without a storage, as a data: URL in Redis: on_kept says so. A paid
 * image is never lost to a full disk. If the end of the write is not known, on_kept says that, too, so that the object can be deleted.
 *
 * Ownership: the job owns the keeper, which copies what it is given. It borrows loop and storage.
 * Callbacks: on_kept once per image, never from inside keeper_add and never after keeper_destroy.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_WORKER_JOB_KEEPER_H
#define ARKRELAY_WORKER_JOB_KEEPER_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/storage/record.h"
#include "worker/job/picture_link.h"

enum { KEEPER_MS = 30 * 1000 };

struct keeper;
struct loop;
struct metrics;
struct storage;

struct kept_image {
    int index;
    const char *url;  /* the data: URL */
    const char *size; /* NULL: not known */
    const struct picture_link *link;
    const struct storage_about *about; /* NULL: it could not be stored */
    bool may_be_stored;                /* without about: the storage may have it nevertheless */
};

struct keeper_config {
    struct loop *loop;
    struct storage *storage;
    struct metrics *metrics; /* may be NULL */
    const char *owner;       /* copied; the client */
    void (*on_kept)(const struct kept_image *image, void *arg);
    void *arg;
};

struct keeper *keeper_create(const struct keeper_config *config); /* NULL when out of memory */
struct keeper *keeper_destroy(struct keeper *keeper);             /* accepts NULL; returns NULL */

bool keeper_is_data(const char *url); /* a data: URL in base64 */

/* Begins to store an image. On failure the caller reports it as it is. */
int keeper_add(struct keeper *keeper, int index, const char *url, const char *size,
               const struct picture_link *link) MUST_CHECK;
bool keeper_is_busy(const struct keeper *keeper); /* accepts NULL */

#endif
