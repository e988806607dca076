/* pictures - the kinds of the outbox that keep pictures: copies into the storage, and deletions of erased ones
 *
 * A failure of the storage, such as a full disk, makes this worker take no copies for a while: 1 s, doubled up to 1 min; then one copy is
 * tried. A copy that ends after its picture was erased removes itself.
 *
 *     LEASE -> copy ... -> SETTLE stored        LEASE -> delete -> SETTLE deleted
 *
 * Ownership: borrows everything in its config. Destroy the outbox first.
 * Threads:   loop thread only. The storage works on threads of its own.   Units: ms.
 * Errors:    each failed copy is logged once, with the beginning of the picture's id.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_PICTURES_H
#define ARKRELAY_WORKER_OUTBOX_PICTURES_H

#include <stdint.h>

#include "common/storage/outcome.h"
#include "worker/outbox/outbox.h"

struct link_rules;
struct loop;
struct metrics;
struct pictures;
struct storage;
struct storage_check;
struct web;

struct pictures_config {
    struct loop *loop;
    struct web *web; /* for downloads */
    struct storage *storage;
    const struct link_rules *rules;
    struct metrics *metrics;           /* may be NULL */
    const struct storage_check *check; /* while it fails nothing is done */
    int concurrency;
    int64_t lease_ms;      /* a download may take half of it */
    int64_t link_retry_ms; /* until the next try where a link or its image is at fault */
};

struct pictures *pictures_create(const struct pictures_config *config); /* NULL when out of memory */
struct pictures *pictures_destroy(struct pictures *pictures);           /* accepts NULL; returns NULL */

/* For outbox_create. */
const struct outbox_kind *pictures_copies(const struct pictures *pictures);
const struct outbox_kind *pictures_deletions(const struct pictures *pictures);

/* For presence: what is wrong with the storage at present; STORAGE_DONE: nothing is known to be. */
enum storage_end pictures_trouble(const struct pictures *pictures);
const char *pictures_copy_trouble(
    const struct pictures *pictures); /* why the last copy failed; "": it did not, or because of the storage */
int64_t pictures_given_up(const struct pictures *pictures);

#endif
