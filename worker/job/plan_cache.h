/* plan_cache - the plan that was read last
 *
 * Most tasks of a worker have the same plan. Reading one takes a tenth of the instructions that the worker needs for a task.
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_JOB_PLAN_CACHE_H
#define ARKRELAY_WORKER_JOB_PLAN_CACHE_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/models/plan_text.h"

/* Empty if zeroed. */
struct plan_cache {
    struct stored_plan stored;
    char *text; /* NULL: the next plan is read in any case */
    size_t len;
};

/* plan_read for the plan of a task. `out` is borrowed until the next call. */
int plan_cache_read(struct plan_cache *cache, const char *json, size_t len, const struct plan **out) MUST_CHECK;
void plan_cache_deinit(struct plan_cache *cache);

#endif
