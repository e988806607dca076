/* plan_check - what a client asks for and its model cannot do
 *
 * Each complaint names the model, the field and the limit. A model that is not in the catalogue can do anything: ARK checks the request,
 * free of charge.
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
