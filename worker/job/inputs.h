/* job/inputs - the uploads that a task names, read from the storage before its paid call and made into data URLs
 *
 * ARK gets the bytes inside of the request, so nothing outside of ARK's answer can fail once the call is paid. The names of the objects are
 * in the task's plan, in the order of the uploads in its urls. An object must have the digest that the url says.
 *
 * Ownership: takes over spec and plan; a job owns its inputs and destroys them at any time, also from on_end.
 * Callbacks: on_end once, from the loop, never from inside inputs_open.
 * Threads:   loop thread only.   Units: bytes.
 */
#ifndef ARKRELAY_WORKER_JOB_INPUTS_H
#define ARKRELAY_WORKER_JOB_INPUTS_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/models/plan_text.h"
#include "common/storage/outcome.h"
#include "common/task/task_spec.h"

enum {
    INPUTS_JSON_MAX = 60 << 20,                          /* of the data URLs together, as in the gateway */
    INPUTS_MEMORY_MAX = 2 * INPUTS_JSON_MAX + (1 << 20), /* while the request is built: the URLs, and the request */
};

struct input_budget;
struct input_share;
struct inputs;
struct storage;

/* What a task is made of. After on_end with STORAGE_DONE its uploads are data URLs. */
struct inputs_task {
    struct task_spec spec;
    struct stored_plan stored;
};

typedef void inputs_end_fn(const struct storage_outcome *outcome, void *arg);

struct inputs_setup {
    struct storage *storage;
    struct input_budget *budget;
    struct input_share *share;
    inputs_end_fn *on_end;
    void *arg;
};

bool inputs_has_uploads(const struct task_spec *spec);

/* On success `task` is zeroed. `share` is taken from the budget before anything is read, and belongs to the caller. storage: NULL if this worker has none. ERR_NO_MEMORY; ERR_SYNTAX: the plan does not name an object for each
 * upload; ERR_NOT_FOUND: there is no storage. */
int inputs_open(const struct inputs_setup *setup, struct inputs_task *task, struct inputs **out) MUST_CHECK;

const struct inputs_task *inputs_task_of(const struct inputs *inputs);
struct inputs *inputs_destroy(struct inputs *inputs); /* accepts NULL; returns NULL */

#endif
