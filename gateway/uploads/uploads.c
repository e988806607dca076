#include "gateway/uploads/uploads.h"

#include <stdlib.h>

struct uploads *uploads_create(const struct uploads_config *config)
{
    struct uploads *uploads = calloc(1, sizeof(*uploads));

    if (!uploads)
        return NULL;
    uploads->config = *config;
    LIST_INIT(&uploads->works);
    return uploads;
}

struct uploads *uploads_destroy(struct uploads *uploads)
{
    struct upload_work *work;

    if (!uploads)
        return NULL;
    while ((work = LIST_FIRST(&uploads->works)))
        work->abort(work);
    free(uploads);
    return NULL;
}
