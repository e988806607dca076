/* catalogue - the models of ARK, with their parameters and prices
 *
 * The source is models.json, which is compiled in. With it the gateway refuses unsupported parameters, and the worker builds ARK's
 * requests. MODELS_FILE extends or replaces its rows (catalogue_read.h).
 *
 * A row serves all ids of its family: "doubao-seedream-4-0-250828", "seedream-4-0-250828" (BytePlus), "dola-seedream-5-0-pro-260628",
 * "seedream-4.5" and later dates. An id that no row serves, such as an endpoint id ("ep-..."), gets a generic row: every
 * parameter of the client is accepted, and defaults that some models refuse are not applied.
 *
 * Pure. Immutable.
 * Ownership: reference counted.   Threads: any.
 */
#ifndef ARKRELAY_MODELS_CATALOGUE_H
#define ARKRELAY_MODELS_CATALOGUE_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/models/model.h"

struct catalogue;

/* A catalogue comes from catalogue_read, or from catalogue_file_take. */
struct catalogue *catalogue_ref(struct catalogue *catalogue);
void catalogue_unref(struct catalogue *catalogue); /* accepts NULL */

/* The row with the longest name that the id begins with. Never NULL; see `listed`. */
const struct model *catalogue_find(const struct catalogue *catalogue, const char *id);

/* Speeds catalogue_find up. Call it once, when all rows are there. */
void catalogue_mark_exact(struct catalogue *catalogue);

/* The rows that an equal id finds. NULL after the last. */
const struct model *catalogue_at(const struct catalogue *catalogue, size_t index);
const char *catalogue_currency(const struct catalogue *catalogue); /* "USD" */

/* Twelve hexadecimal digits of a hash of all rows: equal catalogues have equal versions. */
const char *catalogue_version(const struct catalogue *catalogue);

/* The rows of catalogue_at as a JSON list, for clients. */
const char *catalogue_json(const struct catalogue *catalogue);

#endif
