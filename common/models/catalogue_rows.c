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
