/* mutate - random changes to bytes, the same for the same seed */
#ifndef ARKRELAY_HOSTILE_MUTATE_H
#define ARKRELAY_HOSTILE_MUTATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

struct chance {
    uint64_t state;
};

struct chance chance_from(uint64_t seed);
size_t chance_below(struct chance *chance, size_t limit); /* 0 .. limit - 1; limit is at least 1 */

/* Appends the bytes to `out`, changed in one to four places. */
void mutate(struct chance *chance, struct buf *out, const char *bytes, size_t len);

#endif
