/* uploads - what the uploads of one gateway thread share
 *
 * Ownership: destroy it after the owners of its uploads, and before the disk and the storage.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_UPLOADS_H
#define ARKRELAY_GATEWAY_UPLOADS_UPLOADS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { UPLOAD_BYTES_MAX = 30 << 20 }; /* ARK's limit for one image */

/* Why nothing is stored or erased while storage_check_failed. */
#define UPLOADS_OTHER_STORAGE                                                                                          \
    "This gateway has another STORAGE than the other programs. Its operator has to correct that."

struct redis;
struct storage;

/* Pointers are borrowed. */
struct uploads_config {
    struct redis *commands;
    struct storage *storage;
    int64_t count_max, bytes_max; /* of a client per UTC day; 0: no limit */
    int64_t queue_ttl_ms;         /* how long a task may wait */
    size_t at_once_max;           /* uploads that arrive or are stored at a time */
};

/* Work that goes on without a caller: an upload whose client has gone, or a renewal. */
struct upload_work {
    LIST_ENTRY(upload_work) link;
    void (*abort)(struct upload_work *work); /* frees it, and removes it from the list */
};

struct uploads {
    struct uploads_config config;
    size_t count;    /* uploads that have not ended */
    size_t renewals; /* that have not ended */
    LIST_HEAD(upload_works, upload_work) works;
};

struct uploads *uploads_create(const struct uploads_config *config); /* NULL when out of memory */
struct uploads *uploads_destroy(struct uploads *uploads); /* accepts NULL; aborts what goes on; returns NULL */

#endif
