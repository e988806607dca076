/* must - ends a fuzz target if an invariant is broken; works in builds without assertions too */
#ifndef ARKRELAY_FUZZ_MUST_H
#define ARKRELAY_FUZZ_MUST_H

#include <stdlib.h>

static inline void must(int claim)
{
    if (!claim)
        abort();
}

#endif
