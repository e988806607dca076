#include "worker/worker_storage.h"

#include "common/base/buf.h"
#include "common/base/disk_pool.h"
#include "common/base/log.h"
#include "common/storage/storage.h"
#include "common/task/storage_check.h"
#include "worker/ark/request.h"
#include "worker/options.h"

enum { DISK_THREADS = 4, DISK_WAITING_MAX = 4096, WHY_MAX = 512 };

/* A worker that only calls ARK needs it for uploads, and does everything else without it. The outbox copies into it; images that come as bytes
 * go there from the job. */
static bool is_needed(const struct worker_options *options)
{
    return options->roles != ROLES_ARK || options->ark_response_format == ARK_RESPONSE_B64_JSON;
}

static void log_unusable(const struct worker_options *options, const char *why)
{
    if (is_needed(options))
        log_error("worker", "cannot use STORAGE", "place=%s why=\"%s\"", options->storage.place, why);
    else
        log_warn("worker", "cannot use STORAGE, so tasks with uploads will fail, continuing", "place=%s why=\"%s\"",
                 options->storage.place, why);
}

static int open_location(struct worker_storage *own, struct loop *loop, const struct worker_options *options)
{
    const struct location_setup setup = {.options = &options->storage, .loop = loop, .pool = own->pool};
    struct buf why;
    int err;

    buf_init(&why, WHY_MAX);
    err = location_open(&own->location, &setup, &why);
    if (err)
        log_unusable(options, why.len ? buf_text(&why) : err_text(err));
    buf_deinit(&why);
    return err;
}

bool worker_storage_open(struct worker_storage *own, struct loop *loop, struct redis *redis,
                         const struct worker_options *options)
{
    if (!*options->storage.place)
        return true;
    own->pool = disk_pool_create(DISK_THREADS, DISK_WAITING_MAX);
    if (!own->pool)
        return false;
    if (open_location(own, loop, options))
        return !is_needed(options);
    own->check = storage_check_create(&(struct storage_check_config){
        .loop = loop, .redis = redis, .identity = storage_identity(own->location.storage)});
    return own->check != NULL;
}

void worker_storage_close(struct worker_storage *own)
{
    own->check = storage_check_destroy(own->check);
    location_close(&own->location);
    disk_pool_destroy(own->pool);
    own->pool = NULL;
}
