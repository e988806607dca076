/* catalogue_read - from JSON to a catalogue
 *
 * The grammar is that of models.json and of MODELS_FILE, see docs/models.md: an object with `models`, a list of rows, and `currency`. A
 * row whose name the base has replaces that row as a whole; any other row is added. `like` takes over what another row can do and
 * costs. Unknown fields and values out of range are errors, because a typo could cost money.
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_CATALOGUE_READ_H
#define ARKRELAY_MODELS_CATALOGUE_READ_H

#include <stddef.h>

#include "common/base/err.h"

struct buf;
struct catalogue;

enum { CATALOGUE_TEXT_MAX = 1 << 20, CATALOGUE_WHY_MAX = 1024 };

/* `base` may be NULL. ERR_SYNTAX: `why` names the row, the field and the mistake. ERR_NO_MEMORY. */
int catalogue_read(const char *json, size_t len, const struct catalogue *base, struct catalogue **out,
                   struct buf *why) MUST_CHECK;

#endif
