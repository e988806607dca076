/* builtin_catalogue - models.json as a catalogue, for unit tests; include cmocka first */
#ifndef ARKRELAY_TESTS_SUPPORT_BUILTIN_CATALOGUE_H
#define ARKRELAY_TESTS_SUPPORT_BUILTIN_CATALOGUE_H

#include "common/base/buf.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_read.h"
#include "common/models/models_json.h"

/* One for the whole run. */
static inline struct catalogue *builtin_catalogue(void)
{
    static struct catalogue *catalogue;
    struct buf why;

    buf_init(&why, CATALOGUE_WHY_MAX);
    if (!catalogue && catalogue_read(models_json, models_json_len, NULL, &catalogue, &why))
        abort();
    buf_deinit(&why);
    return catalogue;
}

#endif
