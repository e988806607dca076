/* plan_check - finds parameters of a request that its model does not support
 *
 * Each complaint names the model, the field and the limit. A model that is not in the catalogue is only checked by ARK's rules for all
 * models: ARK checks the rest, free of charge.
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_PLAN_CHECK_H
#define ARKRELAY_MODELS_PLAN_CHECK_H

#include "common/models/plan.h"

enum { PLAN_DETAIL_SIZE = 192 };

typedef void plan_complain_fn(const char *pointer, const char *detail, void *arg);

/* `row` is that of the plan. The texts are valid during the call. */
void plan_check(const struct plan *plan, const struct model *row, const struct task_spec *spec,
                plan_complain_fn *complain, void *arg);

#endif
