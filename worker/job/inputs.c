#include "worker/job/inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/storage/storage.h"
#include "worker/job/input_budget.h"

enum { HEAD_SIZE = 40 };

struct inputs {
    struct inputs_task task;
    struct inputs_setup setup;
    struct storage_call *get;
    size_t url, upload; /* the one that is read: its index in urls, and among the uploads */
    size_t sum;         /* of the data URLs that are complete */

    char *text; /* of this one: the data URL so far */
    size_t len;
    int64_t left; /* bytes that were not read yet */
    struct base64 base64;
};

bool inputs_has_uploads(const struct task_spec *spec)
{
    for (size_t i = 0; i < spec->url_count; i++)
        if (task_url_is_upload(spec->urls[i]))
            return true;
    return false;
}

static void finish(struct inputs *inputs, enum storage_end end, const char *words)
{
    struct storage_outcome outcome;

    storage_outcome_set(&outcome, end, "%s", words);
    inputs->setup.on_end(&outcome, inputs->setup.arg);
}

/* -- one upload after the other */

static void read_next(struct inputs *inputs);

static void take_url(struct inputs *inputs)
{
    inputs->len += base64_end(&inputs->base64, inputs->text + inputs->len);
    free(inputs->task.spec.urls[inputs->url]);
    inputs->task.spec.urls[inputs->url++] = inputs->text;
    inputs->sum += inputs->len;
    inputs->text = NULL;
    inputs->upload++;
}

static bool is_the_upload(const struct inputs *inputs, const struct storage_about *about)
{
    return !strcmp(about->sha256, inputs->task.spec.urls[inputs->url] + sizeof(TASK_UPLOAD_PREFIX) - 1);
}

static size_t url_size(const struct storage_about *about)
{
    return HEAD_SIZE + BASE64_ROOM(about->size);
}

static void stop_reading(struct inputs *inputs)
{
    storage_cancel(inputs->get);
    inputs->get = NULL;
}

static void inputs_on_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct inputs *inputs = arg;
    bool fits = about->size >= 0 && about->size <= INPUTS_JSON_MAX &&
                inputs->sum + url_size(about) <= INPUTS_JSON_MAX + HEAD_SIZE;

    (void)range;
    if (!is_the_upload(inputs, about) || !fits) {
        stop_reading(inputs);
        finish(inputs, STORAGE_INVALID,
               fits ? "the stored object is another image" : "the images are too large together");
        return;
    }
    inputs->text = malloc(url_size(about));
    if (!inputs->text) {
        stop_reading(inputs);
        finish(inputs, STORAGE_BUSY, "out of memory");
        return;
    }
    inputs->len = (size_t)snprintf(inputs->text, HEAD_SIZE, "data:%s;base64,", image_media_type(about->image.type));
    inputs->left = about->size;
    storage_get_next(inputs->get);
}

static void inputs_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct inputs *inputs = arg;

    inputs->left -= (int64_t)len;
    inputs->len += base64_add(&inputs->base64, inputs->text + inputs->len, bytes, len);
    if (inputs->left > 0)
        storage_get_next(inputs->get);
}

static void inputs_on_read(const struct storage_outcome *outcome, void *arg)
{
    struct inputs *inputs = arg;

    inputs->get = NULL;
    if (outcome->end != STORAGE_DONE) {
        inputs->setup.on_end(outcome, inputs->setup.arg);
        return;
    }
    take_url(inputs);
    read_next(inputs);
}

static int start_next(struct inputs *inputs)
{
    const struct plan *plan = &inputs->task.stored.plan;
    const struct storage_get_events events = {
        .on_open = inputs_on_open, .on_bytes = inputs_on_bytes, .on_end = inputs_on_read, .arg = inputs};

    while (!task_url_is_upload(inputs->task.spec.urls[inputs->url]))
        inputs->sum += strlen(inputs->task.spec.urls[inputs->url++]);
    return storage_get(inputs->setup.storage, plan->uploads[inputs->upload], &events, &inputs->get);
}

static void read_next(struct inputs *inputs)
{
    if (inputs->upload == inputs->task.stored.plan.upload_count)
        finish(inputs, STORAGE_DONE, "");
    else if (start_next(inputs))
        finish(inputs, STORAGE_BUSY, "too much work for the disk");
}

static void inputs_on_granted(void *arg)
{
    read_next(arg);
}

/* -- for the job */

/* The names become paths. */
static bool has_names(const struct inputs_task *task)
{
    const struct plan *plan = &task->stored.plan;
    size_t count = 0;

    for (size_t i = 0; i < task->spec.url_count; i++)
        count += task_url_is_upload(task->spec.urls[i]);
    for (size_t i = 0; i < plan->upload_count; i++)
        if (!storage_name_is_valid(plan->uploads[i]))
            return false;
    return count == plan->upload_count;
}

int inputs_open(const struct inputs_setup *setup, struct inputs_task *task, struct inputs **out)
{
    struct inputs *inputs;

    if (!has_names(task))
        return ERR_SYNTAX;
    if (!setup->storage)
        return ERR_NOT_FOUND;
    inputs = calloc(1, sizeof(*inputs));
    if (!inputs)
        return ERR_NO_MEMORY;
    *inputs = (struct inputs){.task = *task, .setup = *setup};
    if (input_share_take(setup->share, setup->budget, INPUTS_MEMORY_MAX, inputs_on_granted, inputs) &&
        start_next(inputs)) {
        input_share_release(setup->share);
        free(inputs);
        return ERR_NO_MEMORY;
    }
    *task = (struct inputs_task){0};
    *out = inputs;
    return 0;
}

const struct inputs_task *inputs_task_of(const struct inputs *inputs)
{
    return &inputs->task;
}

struct inputs *inputs_destroy(struct inputs *inputs)
{
    if (!inputs)
        return NULL;
    if (inputs->get)
        storage_cancel(inputs->get);
    free(inputs->text);
    task_spec_deinit(&inputs->task.spec);
    stored_plan_deinit(&inputs->task.stored);
    free(inputs);
    return NULL;
}
