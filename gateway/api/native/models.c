/* GET /models: what each model can do and costs, and what a request gets without asking: all that a form needs */
#include <string.h>

#include "common/base/buf.h"
#include "common/http/server.h"
#include "common/models/plan.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"
#include "gateway/uploads/uploads.h"

enum { RESPONSE_MAX = 1 << 20 };

static void models_add_text(struct buf *out, const char *name, const char *text)
{
    buf_add_text_member(out, name, text, strlen(text));
}

static void add_word(struct buf *out, const char *name, const char *const *words, int word)
{
    if (word)
        models_add_text(out, name, words[word]);
}

/* Only what is configured. */
static void add_defaults(struct buf *out, const struct api_context *context)
{
    const struct request_defaults *defaults = context->defaults;
    const struct model *row = catalogue_find(context->catalogue, defaults->model);

    buf_add_text(out, "\"defaults\":{");
    models_add_text(out, "model", defaults->model);
    if (row->is_exact)
        models_add_text(out, "listed_as", row->id);
    models_add_text(out, "size", defaults->size);
    buf_addf(out, ",\"max_images\":%d,\"max_paid_calls\":%d,\"watermark\":%s", (int)defaults->max_images,
             context->max_paid_calls, defaults->watermark ? "true" : "false");
    add_word(out, "output_format", task_format_words, defaults->output_format);
    add_word(out, "optimize_prompt", task_optimize_words, defaults->optimize_prompt);
    add_word(out, "background", task_background_words, defaults->background);
    if (defaults->web_search)
        buf_add_bool_member(out, "web_search", true);
    if (defaults->guidance_scale)
        buf_add_int_member(out, "guidance_scale", defaults->guidance_scale);
    if (defaults->layers)
        buf_add_bool_member(out, "layers", true);
    buf_add_char(out, '}');
}

static void add_limits(struct buf *out, const struct api_context *context)
{
    buf_addf(out,
             "\"limits\":{\"urls\":%d,\"urls_and_images\":%d,\"prompt\":%d,\"max_paid_calls\":%d,\"data_urls\":%s,"
             "\"upload_bytes\":%d,\"task_list\":%s,\"webhooks\":%s}",
             TASK_URLS_MAX, TASK_IMAGES_MAX, TASK_PROMPT_MAX, context->max_paid_calls_limit,
             context->data_urls ? "true" : "false", context->uploads ? UPLOAD_BYTES_MAX : 0,
             context->task_list ? "true" : "false", context->webhooks == WEBHOOKS_OFF ? "false" : "true");
}

void api_models(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"version\":\"%s\",\"currency\":\"%s\",", catalogue_version(context->catalogue),
             catalogue_currency(context->catalogue));
    add_defaults(&body, context);
    buf_add_char(&body, ',');
    add_limits(&body, context);
    buf_add_text(&body, ",\"models\":");
    buf_add_text(&body, catalogue_json(context->catalogue));
    buf_add_char(&body, '}');
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}
