#include "common/storage/backend.h"

#include <assert.h>

/* The functions of storage.h. */

struct storage *storage_destroy(struct storage *storage)
{
    if (storage)
        storage->ops->destroy(storage);
    return NULL;
}

const char *storage_identity(const struct storage *storage)
{
    return storage->identity;
}

void storage_cancel(struct storage_call *call)
{
    call->cancel(call);
}

int storage_spool(struct storage *storage, int64_t size, int64_t size_max, const struct spool_events *events,
                  struct spool **out)
{
    const struct spool_setup setup = {
        .dir = &storage->spool, .disk = storage->disk, .size = size, .size_max = size_max, .events = *events};

    return spool_start(&setup, out);
}

/* Names and owners are made or checked by the callers: a wrong one is a bug, and must not become a path. */
int storage_put(struct storage *storage, struct spool *spool, const char *name, const char *owner,
                storage_end_fn *on_end, void *arg, struct storage_call **out)
{
    assert(storage_name_is_valid(name));
    return storage->ops->put(storage, spool, name, owner, on_end, arg, out);
}

int storage_get(struct storage *storage, const char *name, const struct storage_get_events *events,
                struct storage_call **out)
{
    assert(storage_name_is_valid(name));
    return storage->ops->get(storage, name, events, out);
}

void storage_get_next(struct storage_call *get)
{
    get->storage->ops->get_next(get);
}

int storage_link(const struct storage *storage, const char *name, const char *file_name, int64_t wall_ms, int seconds,
                 struct buf *out)
{
    assert(storage_name_is_valid(name));
    return storage->ops->link ? storage->ops->link(storage, name, file_name, wall_ms, seconds, out) : ERR_NOT_FOUND;
}

int storage_delete(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg,
                   struct storage_call **out)
{
    assert(storage_name_is_valid(name));
    return storage->ops->remove(storage, name, on_end, arg, out);
}

int storage_sweep(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
                  struct storage_call **out)
{
    return storage->ops->sweep(storage, today, max, on_end, arg, out);
}
