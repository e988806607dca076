/* copy - one picture on its way from ARK's link into the storage
 *
 *     FETCHING --all bytes have come--> CHECKING --an image--> PUTTING --stored--> end
 *
 * The bytes are checked while they are written to a temporary file; at most 256 KiB are in memory. The end says whether the picture, its
 * host or this worker is the cause of a failure, because that one is delayed.
 *
 * Ownership: the caller owns the copy, and destroys it from inside on_end or later. It borrows everything in its setup but the texts.
 * Callbacks: on_end once, never from inside copy_start, and not after copy_destroy.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_COPY_H
#define ARKRELAY_WORKER_OUTBOX_COPY_H

#include <stdint.h>

#include "common/storage/outcome.h"
#include "common/storage/record.h"
#include "worker/metrics/metrics.h"

struct copy;
struct link_rules;
struct loop;
struct storage;
struct web;

struct copy_outcome {
    enum copy_end end;
    enum storage_end storage;          /* of COPY_STORAGE */
    const struct storage_about *about; /* of COPY_STORED */
    const char *words;                 /* for logs, without the link */
};

struct copy_setup {
    struct loop *loop;
    struct web *web;
    struct storage *storage;
    const struct link_rules *rules;
    const char *link, *name, *owner; /* copied; name: of the object */
    int64_t first_byte_ms, total_ms; /* of the download */
    int64_t end_ms;                  /* of all: after that, the storage counts as failed */
    int64_t size_max;
    void (*on_end)(struct copy *copy, const struct copy_outcome *outcome, void *arg);
    void *arg;
};

struct copy *copy_start(const struct copy_setup *setup); /* NULL when out of memory */
struct copy *copy_destroy(struct copy *copy);            /* accepts NULL; returns NULL */

#endif
