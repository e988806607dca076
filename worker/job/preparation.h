/* preparation - from a claimed task to ARK's request
 *
 *     read --the plan--> the job books it --no uploads-------------------> build --> the request
 *                                       `--uploads--> open --on_opened--'
 *
 * The plan is known before the uploads are read, which may take seconds: a job whose call must wait reads none of them. The memory of uploads
 * is taken from the budget of the worker, until the preparation is destroyed.
 *
 * Ownership: the job owns its preparation until the call begins, with uploads until libcurl has taken them. It may destroy it at any time, also
 *            from on_opened.
 * Errors:    ERR_SYNTAX: the task or its plan cannot be read. ERR_RANGE: too many references for the model. ERR_TOO_LONG: more than ARK takes.
 *            ERR_NOT_FOUND: there is no storage for uploads. ERR_NO_MEMORY. refusal.h says what they mean for the task.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_WORKER_JOB_PREPARATION_H
#define ARKRELAY_WORKER_JOB_PREPARATION_H

#include <stdbool.h>

#include "common/base/err.h"
#include "worker/ark/request.h"
#include "worker/job/inputs.h"

struct catalogue;
struct claimed_job;
struct input_budget;
struct plan;
struct plan_cache;
struct preparation;
struct request_defaults;
struct storage;

/* Borrows everything. */
struct preparation_setup {
    struct plan_cache *plans;
    const struct catalogue *catalogue; /* used by preparation_read only */
    const struct request_defaults *defaults;
    struct ark_way ark;
    struct input_budget *budget;
};

struct preparation *preparation_create(const struct preparation_setup *setup); /* NULL when out of memory */
struct preparation *preparation_destroy(struct preparation *preparation);      /* accepts NULL; returns NULL */

/* Reads the task and its plan. A task without a plan is called as this worker is configured. */
int preparation_read(struct preparation *preparation, const struct claimed_job *claimed) MUST_CHECK;

/* After preparation_read; valid until another task is read, or until open or build. */
const struct plan *preparation_plan(const struct preparation *preparation);
bool preparation_has_uploads(const struct preparation *preparation);

/* Reads the uploads. on_opened follows, never from inside this function. storage: NULL if this worker has none. */
int preparation_open(struct preparation *preparation, struct storage *storage, inputs_end_fn *on_opened,
                     void *arg) MUST_CHECK;

/* Builds ARK's request, and frees what it was built from. */
int preparation_build(struct preparation *preparation) MUST_CHECK;

/* After preparation_build. A caller that takes its body sets it to NULL. */
struct ark_request *preparation_request(struct preparation *preparation);

#endif
