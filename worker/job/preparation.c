#include "worker/job/preparation.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/models/catalogue.h"
#include "common/models/plan.h"
#include "worker/job/input_budget.h"
#include "worker/job/plan_cache.h"
#include "worker/queue/claim.h"

struct preparation {
    struct preparation_setup setup;
    struct inputs_task task; /* moves into `inputs` */
    const struct plan *plan; /* the one of `task`, or of the cache */
    bool has_uploads;
    struct inputs *inputs;    /* NULL: not opened */
    struct input_share share; /* of the memory for inputs */
    struct ark_request request;
};

struct preparation *preparation_create(const struct preparation_setup *setup)
{
    struct preparation *preparation = calloc(1, sizeof(*preparation));

    if (preparation)
        preparation->setup = *setup;
    return preparation;
}

static void free_task(struct preparation *preparation)
{
    preparation->inputs = inputs_destroy(preparation->inputs);
    stored_plan_deinit(&preparation->task.stored);
    task_spec_deinit(&preparation->task.spec);
    preparation->plan = NULL;
}

struct preparation *preparation_destroy(struct preparation *preparation)
{
    if (!preparation)
        return NULL;
    free_task(preparation);
    input_share_release(&preparation->share);
    ark_request_deinit(&preparation->request);
    free(preparation);
    return NULL;
}

/* -- the task and its plan */

/* A task without a plan. */
static int make_own_plan(struct preparation *preparation)
{
    const struct task_spec *spec = &preparation->task.spec;
    struct plan *plan = &preparation->task.stored.plan;
    const struct model *row = plan_make(plan, preparation->setup.defaults, preparation->setup.catalogue, spec);

    preparation->plan = plan;
    return spec->url_count > (size_t)row->references_max ? ERR_RANGE : 0;
}

/* With uploads, the plan must last until they have been read, so it does not come from the cache. */
static int read_stored_plan(struct preparation *preparation, const struct claimed_job *claimed)
{
    int err;

    if (preparation->has_uploads) {
        preparation->plan = &preparation->task.stored.plan;
        err = plan_read(claimed->plan, claimed->plan_len, &preparation->task.stored);
    } else {
        err = plan_cache_read(preparation->setup.plans, claimed->plan, claimed->plan_len, &preparation->plan);
    }
    if (err == ERR_SYNTAX)
        log_error("job", "the plan cannot be read, the gateway may have a newer version than this worker", "task=%s",
                  claimed->id);
    return err;
}

static void warn_if_unlisted(const struct preparation *preparation, const char *id)
{
    const struct catalogue *catalogue = preparation->setup.catalogue;
    const struct plan *plan = preparation->plan;
    char model[2 * TASK_NAME_MAX];

    if (!strcmp(plan->catalogue, catalogue_version(catalogue)) && !catalogue_find(catalogue, plan->model)->listed)
        log_warn("job", "the model is not in the catalogue, only the plainest fields are sent", "task=%s model=%s", id,
                 log_quote(model, sizeof(model), plan->model));
}

int preparation_read(struct preparation *preparation, const struct claimed_job *claimed)
{
    int err = task_spec_read(claimed->request, claimed->request_len, &preparation->task.spec);

    if (err)
        return err;
    preparation->has_uploads = inputs_has_uploads(&preparation->task.spec);
    err = preparation->has_uploads || claimed->plan_len ? read_stored_plan(preparation, claimed)
                                                        : make_own_plan(preparation);
    if (!err)
        warn_if_unlisted(preparation, claimed->id);
    return err;
}

const struct plan *preparation_plan(const struct preparation *preparation)
{
    return preparation->plan;
}

bool preparation_has_uploads(const struct preparation *preparation)
{
    return preparation->has_uploads;
}

/* -- ARK's request */

int preparation_open(struct preparation *preparation, struct storage *storage, inputs_end_fn *on_opened, void *arg)
{
    const struct inputs_setup setup = {.storage = storage,
                                       .budget = preparation->setup.budget,
                                       .share = &preparation->share,
                                       .on_end = on_opened,
                                       .arg = arg};
    int err = inputs_open(&setup, &preparation->task, &preparation->inputs);

    if (!err)
        preparation->plan = &inputs_task_of(preparation->inputs)->stored.plan;
    return err;
}

int preparation_build(struct preparation *preparation)
{
    const struct task_spec *spec =
        preparation->inputs ? &inputs_task_of(preparation->inputs)->spec : &preparation->task.spec;
    int err = ark_request_build(preparation->plan, spec, preparation->setup.ark, &preparation->request);

    free_task(preparation);
    input_share_shrink(&preparation->share, (int64_t)preparation->request.len);
    return err;
}

struct ark_request *preparation_request(struct preparation *preparation)
{
    return &preparation->request;
}
