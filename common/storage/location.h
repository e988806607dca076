/* location - opens the storage that the option STORAGE names
 *
 *     /a/directory      see directory.h
 *
 * Blocks: call it before the loop runs.
 */
#ifndef ARKRELAY_STORAGE_LOCATION_H
#define ARKRELAY_STORAGE_LOCATION_H

#include <stdbool.h>

#include "common/base/err.h"

struct buf;
struct disk;
struct storage;

bool location_is_valid(const char *location); /* false: not a kind of storage that this version knows */

/* ERR_NO_MEMORY; ERR_SYSTEM: `why` has a sentence about what is wrong. */
int location_open(const char *location, struct disk *disk, struct storage **out, struct buf *why) MUST_CHECK;

#endif
