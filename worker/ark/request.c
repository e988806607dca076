#include "worker/ark/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/task/task_spec.h"

enum { ARK_SEED_DEFAULT = -1 }; /* ARK picks a random seed */

/* All decisions about one body, made before it is written. */
struct plan {
    const struct ark_defaults *defaults;
    const struct task_spec *spec;
    const struct ark_model *model;
    const char *model_id, *prompt;
    const char *size; /* NULL: ARK's own default */
    bool layers, stream;
    int images;
};

static bool is_given(const char *text)
{
    return text && *text;
}

const char *ark_request_model(const struct ark_defaults *defaults, const struct task_spec *spec)
{
    return is_given(spec->model) ? spec->model : defaults->model;
}

/* Every model checks a size such as "2048x1536" itself. Keywords differ between models. */
static bool has_size(const struct ark_model *model, const char *size)
{
    char word[16];

    if (strchr(size, 'x'))
        return true;
    return snprintf(word, sizeof(word), " %s ", size) < (int)sizeof(word) && strstr(model->sizes, word);
}

static const char *choose_size(const struct plan *plan)
{
    const char *fallback = plan->defaults->size;

    if (is_given(plan->spec->size))
        return plan->spec->size;
    return is_given(fallback) && has_size(plan->model, fallback) ? fallback : NULL;
}

static const char *choose_prompt(const struct plan *plan)
{
    if (is_given(plan->spec->prompt))
        return plan->spec->prompt;
    return is_given(plan->defaults->prompt) ? plan->defaults->prompt : ARK_DEFAULT_PROMPT;
}

/* References and generated images share one limit. ARK does not document what happens above it, so never ask for more. */
static int count_images(const struct plan *plan)
{
    int wanted = plan->spec->max_images ? plan->spec->max_images : plan->defaults->max_images;
    int room = ARK_GROUP_MAX - (int)plan->spec->url_count;

    if (plan->layers)
        return plan->model->layers_max;
    if (!plan->model->group)
        return 1;
    wanted = wanted < room ? wanted : room;
    return wanted > 1 ? wanted : 1;
}

static bool wants_stream(const struct plan *plan)
{
    switch ((enum ark_stream_mode)plan->defaults->stream) {
    case ARK_STREAM_ON:
        return true;
    case ARK_STREAM_OFF:
        return false;
    case ARK_STREAM_AUTO:
        break;
    }
    return plan->model->stream && (plan->model->listed || plan->images > 1);
}

static void make_plan(struct plan *plan, const struct ark_defaults *defaults, const struct task_spec *spec)
{
    plan->defaults = defaults;
    plan->spec = spec;
    plan->model_id = ark_request_model(defaults, spec);
    plan->model = ark_model_find(plan->model_id);
    plan->layers = defaults->layer_decomposition && plan->model->layers_max && spec->url_count == 1;
    plan->prompt = choose_prompt(plan);
    plan->size = choose_size(plan);
    plan->images = count_images(plan);
    plan->stream = wants_stream(plan);
}

static void add_request_text(struct buf *out, const char *name, const char *text)
{
    buf_add_text_member(out, name, text, strlen(text));
}

static void add_references(struct buf *out, const struct task_spec *spec)
{
    if (!spec->url_count)
        return;
    if (spec->url_count == 1) {
        add_request_text(out, "image", spec->urls[0]);
        return;
    }
    buf_add_text(out, ",\"image\":[");
    for (size_t i = 0; i < spec->url_count; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json(out, spec->urls[i], strlen(spec->urls[i]));
    }
    buf_add_char(out, ']');
}

static void add_group(struct buf *out, const struct plan *plan)
{
    if (!plan->model->group || plan->images == 1)
        return;
    add_request_text(out, "sequential_image_generation", "auto");
    buf_add_text(out, ",\"sequential_image_generation_options\":{\"max_images\":");
    buf_add_int(out, plan->images);
    buf_add_char(out, '}');
}

static void add_optimize(struct buf *out, const struct plan *plan)
{
    if (plan->defaults->optimize_prompt_mode == ARK_OPTIMIZE_FAST && plan->model->optimize == ARK_OPTIMIZE_FAST)
        buf_add_text(out, ",\"optimize_prompt_options\":{\"mode\":\"fast\"}");
}

/* Without %f: its decimal point depends on the locale. */
static void add_guidance(struct buf *out, double scale)
{
    int64_t hundredths = (int64_t)(scale * 100 + 0.5);

    buf_addf(out, ",\"guidance_scale\":%" PRId64 ".%02" PRId64, hundredths / 100, hundredths % 100);
}

/* Fields that only some models support, if they differ from ARK's defaults. */
static void add_extras(struct buf *out, const struct plan *plan)
{
    const struct ark_defaults *defaults = plan->defaults;
    const struct ark_model *model = plan->model;

    add_group(out, plan);
    add_optimize(out, plan);
    if (model->output_format && defaults->output_format == ARK_OUTPUT_PNG)
        add_request_text(out, "output_format", "png");
    if (model->web_search && defaults->web_search)
        buf_add_text(out, ",\"tools\":[{\"type\":\"web_search\"}]");
    if (model->seed && plan->spec->seed_given && plan->spec->seed != ARK_SEED_DEFAULT)
        buf_addf(out, ",\"seed\":%" PRId64, plan->spec->seed);
    if (model->guidance && defaults->guidance_scale > 0)
        add_guidance(out, defaults->guidance_scale);
    if (model->layers_max && defaults->background == ARK_BACKGROUND_TRANSPARENT)
        add_request_text(out, "background", "transparent");
    if (plan->layers)
        buf_add_bool_member(out, "layer_decomposition", true);
}

static void write_request_body(struct buf *out, const struct plan *plan)
{
    const struct ark_defaults *defaults = plan->defaults;
    const struct task_spec *spec = plan->spec;

    buf_add_text(out, "{\"model\":");
    buf_add_json(out, plan->model_id, strlen(plan->model_id));
    add_request_text(out, "prompt", plan->prompt);
    add_references(out, spec);
    if (plan->size)
        add_request_text(out, "size", plan->size);
    buf_add_bool_member(out, "watermark", spec->watermark_given ? spec->watermark : defaults->watermark);
    if (defaults->response_format == ARK_RESPONSE_B64_JSON)
        add_request_text(out, "response_format", "b64_json");
    if (plan->stream)
        buf_add_bool_member(out, "stream", true);
    add_extras(out, plan);
    buf_add_char(out, '}');
}

int ark_request_build(const struct ark_defaults *defaults, const struct task_spec *spec, struct ark_request *out)
{
    struct plan plan;
    struct buf body;
    int err;

    make_plan(&plan, defaults, spec);
    if (spec->url_count > (size_t)plan.model->refs_max)
        return ERR_RANGE;
    buf_init(&body, ARK_BODY_MAX);
    write_request_body(&body, &plan);
    err = buf_error(&body);
    if (!err) {
        *out = (struct ark_request){.len = body.len, .images = plan.images, .stream = plan.stream};
        out->body = buf_take(&body);
    }
    buf_deinit(&body);
    return err;
}

void ark_request_deinit(struct ark_request *request)
{
    free(request->body);
    *request = (struct ark_request){0};
}
