/* catalogue_rows - the inside of a catalogue, for its reader and its writer; everything else uses catalogue.h
 *
 * Ownership: reference counted.   Threads: any, once it is complete.
 */
#ifndef ARKRELAY_MODELS_CATALOGUE_ROWS_H
#define ARKRELAY_MODELS_CATALOGUE_ROWS_H

#include <stdatomic.h>

#include "common/models/model.h"

struct catalogue {
    atomic_int refs;
    size_t count;
    char currency[CATALOGUE_CURRENCY_SIZE];
    char version[CATALOGUE_VERSION_SIZE];
    char *json; /* catalogue_json */
    struct model models[CATALOGUE_MODELS_MAX];
};

/* With one reference; a copy of the base's rows and currency if there is a base. NULL: out of memory. */
struct catalogue *catalogue_alloc(const struct catalogue *base);

#endif
