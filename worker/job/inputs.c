#include "worker/job/inputs.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/storage/storage.h"

enum { HEAD_SIZE = 40, GROUP = 3, GROUP_TEXT = 4 }; /* of base64 */

struct inputs {
    struct inputs_task task;
    struct storage *storage;
    struct storage_call *get;
    inputs_end_fn *on_end;
    void *arg;
    size_t url, upload; /* the one that is read: its index in urls, and among the uploads */
    size_t sum;         /* of the data URLs that are complete */

    char *text; /* of this one: the data URL so far */
    size_t len;
    int64_t left;               /* bytes that were not read yet */
    unsigned char carry[GROUP]; /* bytes that are no whole group yet */
    size_t carried;
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
    inputs->on_end(&outcome, inputs->arg);
}

/* -- base64, as the bytes arrive */

static void encode(struct inputs *inputs, const unsigned char *bytes, size_t len)
{
    inputs->len += (size_t)EVP_EncodeBlock((unsigned char *)inputs->text + inputs->len, bytes, (int)len);
}

static void add_bytes(struct inputs *inputs, const unsigned char *bytes, size_t len)
{
    size_t whole;

    while (inputs->carried && inputs->carried < GROUP && len) {
        inputs->carry[inputs->carried++] = *bytes++;
        len--;
    }
    if (inputs->carried == GROUP) {
        encode(inputs, inputs->carry, GROUP);
        inputs->carried = 0;
    }
    whole = len - len % GROUP;
    encode(inputs, bytes, whole);
    memcpy(inputs->carry + inputs->carried, bytes + whole, len - whole);
    inputs->carried += len - whole;
}

/* -- one upload after the other */

static void read_next(struct inputs *inputs);

static void take_url(struct inputs *inputs)
{
    encode(inputs, inputs->carry, inputs->carried);
    inputs->carried = 0;
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
    return HEAD_SIZE + ((size_t)about->size + GROUP - 1) / GROUP * GROUP_TEXT + 1;
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
    add_bytes(inputs, (const unsigned char *)bytes, len);
    if (inputs->left > 0)
        storage_get_next(inputs->get);
}

static void inputs_on_read(const struct storage_outcome *outcome, void *arg)
{
    struct inputs *inputs = arg;

    inputs->get = NULL;
    if (outcome->end != STORAGE_DONE) {
        inputs->on_end(outcome, inputs->arg);
        return;
    }
    take_url(inputs);
    read_next(inputs);
}

/* Called from the loop, or for the first one from inputs_open; then one is left. */
static int start_next(struct inputs *inputs)
{
    const struct plan *plan = &inputs->task.stored.plan;
    const struct storage_get_events events = {
        .on_open = inputs_on_open, .on_bytes = inputs_on_bytes, .on_end = inputs_on_read, .arg = inputs};

    while (!task_url_is_upload(inputs->task.spec.urls[inputs->url]))
        inputs->sum += strlen(inputs->task.spec.urls[inputs->url++]);
    return storage_get(inputs->storage, plan->uploads[inputs->upload], &events, &inputs->get);
}

static void read_next(struct inputs *inputs)
{
    if (inputs->upload == inputs->task.stored.plan.upload_count)
        finish(inputs, STORAGE_DONE, "");
    else if (start_next(inputs))
        finish(inputs, STORAGE_BUSY, "too much work for the disk");
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

int inputs_open(struct storage *storage, struct inputs_task *task, inputs_end_fn *on_end, void *arg,
                struct inputs **out)
{
    struct inputs *inputs;
    int err;

    if (!has_names(task))
        return ERR_SYNTAX;
    if (!storage)
        return ERR_NOT_FOUND;
    inputs = calloc(1, sizeof(*inputs));
    if (!inputs)
        return ERR_NO_MEMORY;
    *inputs = (struct inputs){.task = *task, .storage = storage, .on_end = on_end, .arg = arg};
    err = start_next(inputs);
    if (err) {
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
