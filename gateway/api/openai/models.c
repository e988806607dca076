/* GET /v1/models and /v1/models/{id}: the names that a request may have as its model, in OpenAI's form: aliases, then ARK's models */
#include "common/base/buf.h"
#include "common/models/catalogue.h"
#include "gateway/api/context.h"
#include "gateway/api/openai/aliases.h"
#include "gateway/api/openai/endpoints.h"
#include "gateway/response/respond.h"

#include <string.h>

enum { RESPONSE_MAX = 256 * 1024 };

static void add_model(struct buf *out, const char *id)
{
    buf_add_text(out, "{\"id\":");
    buf_add_json(out, id, strlen(id));
    buf_add_text(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"arkrelay\"}");
}

/* NULL after the last. */
static const char *model_name_at(const struct api_context *context, size_t i)
{
    const struct openai_aliases *aliases = context->aliases;
    const struct model *row = i < aliases->count ? NULL : catalogue_at(context->catalogue, i - aliases->count);

    return i < aliases->count ? aliases->rows[i].name : row ? row->id : NULL;
}

void api_openai_models(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    const char *name;
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; (name = model_name_at(context, i)); i++) {
        if (i)
            buf_add_char(&body, ',');
        add_model(&body, name);
    }
    buf_add_text(&body, "]}");
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_openai_model(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct http_text id = http_exchange_segment(exchange);
    const char *name;
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    for (size_t i = 0; (name = model_name_at(context, i)) && !body.len; i++)
        if (http_text_is(id, name))
            add_model(&body, name);
    if (body.len || buf_error(&body))
        respond_json(exchange, 200, &body);
    else
        respond_problem(exchange, PROBLEM_NOT_FOUND, "There is no such model.");
    buf_deinit(&body);
}
