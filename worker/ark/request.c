#include "worker/ark/request.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/models/plan.h"
#include "common/task/task_spec.h"

static bool wants_stream(const struct plan *plan, enum ark_stream_mode mode)
{
    switch (mode) {
    case ARK_STREAM_ON:
        return true;
    case ARK_STREAM_OFF:
        return false;
    case ARK_STREAM_AUTO:
        break;
    }
    return plan->stream;
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
    if (plan->images == 1 || plan->layers)
        return;
    add_request_text(out, "sequential_image_generation", "auto");
    buf_add_text(out, ",\"sequential_image_generation_options\":{\"max_images\":");
    buf_add_int(out, plan->images);
    buf_add_char(out, '}');
}

/* Fields that only some models support, if they differ from ARK's defaults. */
static void add_extras(struct buf *out, const struct plan *plan)
{
    add_group(out, plan);
    if (plan->fast)
        buf_add_text(out, ",\"optimize_prompt_options\":{\"mode\":\"fast\"}");
    if (plan->png)
        add_request_text(out, "output_format", "png");
    if (plan->web_search)
        buf_add_text(out, ",\"tools\":[{\"type\":\"web_search\"}]");
    if (plan->seed_given)
        buf_add_int_member(out, "seed", plan->seed);
    if (plan->guidance_scale) {
        buf_add_member(out, "guidance_scale");
        task_guidance_write(out, plan->guidance_scale);
    }
    if (plan->transparent)
        add_request_text(out, "background", "transparent");
    if (plan->layers)
        buf_add_bool_member(out, "layer_decomposition", true);
}

static void write_request_body(struct buf *out, const struct plan *plan, const struct task_spec *spec,
                               enum ark_response_format format, bool stream)
{
    const char *prompt = plan_prompt(plan, spec);

    buf_add_text(out, "{\"model\":");
    buf_add_json(out, plan->model, strlen(plan->model));
    if (prompt)
        add_request_text(out, "prompt", prompt);
    add_references(out, spec);
    if (plan->size)
        add_request_text(out, "size", plan->size);
    buf_add_bool_member(out, "watermark", plan->watermark);
    if (format == ARK_RESPONSE_B64_JSON)
        add_request_text(out, "response_format", "b64_json");
    if (stream)
        buf_add_bool_member(out, "stream", true);
    add_extras(out, plan);
    buf_add_char(out, '}');
}

int ark_request_build(const struct plan *plan, const struct task_spec *spec, struct ark_way way,
                      struct ark_request *out)
{
    bool stream = wants_stream(plan, way.stream);
    struct buf body;
    int err;

    buf_init(&body, ARK_BODY_MAX);
    write_request_body(&body, plan, spec, way.format, stream);
    err = buf_error(&body);
    if (!err) {
        *out = (struct ark_request){.len = body.len, .images = plan->images, .stream = stream};
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
