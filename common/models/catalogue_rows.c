#include "common/models/catalogue_rows.h"

#include <stdlib.h>
#include <string.h>

struct catalogue *catalogue_alloc(const struct catalogue *base)
{
    struct catalogue *catalogue = calloc(1, sizeof(*catalogue));

    if (!catalogue)
        return NULL;
    if (base) {
        memcpy(catalogue->models, base->models, base->count * sizeof(base->models[0]));
        memcpy(catalogue->currency, base->currency, sizeof(base->currency));
        catalogue->count = base->count;
        for (size_t i = 0; i < base->count; i++)
            catalogue->models[i].is_exact = false; /* a row that is added may serve the id */
    }
    atomic_init(&catalogue->refs, 1);
    return catalogue;
}

struct catalogue *catalogue_ref(struct catalogue *catalogue)
{
    atomic_fetch_add(&catalogue->refs, 1);
    return catalogue;
}

void catalogue_unref(struct catalogue *catalogue)
{
    if (!catalogue || atomic_fetch_sub(&catalogue->refs, 1) != 1)
        return;
    free(catalogue->json);
    free(catalogue);
}
