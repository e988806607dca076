/* storage/backend - what a kind of storage implements
 *
 * A kind embeds the structs below in its own. backend.c has the functions of storage.h, which call the kind's.
 */
#ifndef ARKRELAY_STORAGE_BACKEND_H
#define ARKRELAY_STORAGE_BACKEND_H

#include "common/storage/storage.h"

struct disk;

struct storage_ops {
    void (*destroy)(struct storage *storage);
    int (*put)(struct storage *storage, struct spool *spool, const char *name, const char *owner,
               storage_end_fn *on_end, void *arg, struct storage_call **out);
    int (*get)(struct storage *storage, const char *name, const struct storage_get_events *events,
               struct storage_call **out);
    void (*get_next)(struct storage_call *get);
    int (*link)(const struct storage *storage, const char *name, const char *file_name, int64_t wall_ms, int seconds,
                struct buf *out); /* NULL: no links */
    int (*remove)(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg,
                  struct storage_call **out);
    int (*sweep)(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
                 struct storage_call **out);
};

struct storage {
    const struct storage_ops *ops;
    struct disk *disk;      /* borrowed */
    struct spool_dir spool; /* where spools are written */
    char identity[STORAGE_IDENTITY_SIZE];
};

struct storage_call {
    struct storage *storage;
    void (*cancel)(struct storage_call *call);
};

#endif
