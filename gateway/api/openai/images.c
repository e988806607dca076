#include "gateway/api/openai/images.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/json_text.h"
#include "common/http/server.h"
#include "common/models/catalogue.h"
#include "common/models/request_defaults.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/openai/fields.h"
#include "gateway/api/openai/order.h"
#include "gateway/api/openai/repeats.h"
#include "gateway/api/openai/size.h"
#include "gateway/api/submission.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/submit.h"

/* The order gives it an id. */
static struct submission *make_task(const struct api_context *context, struct http_exchange *exchange,
                                    const struct openai_request *request, int index)
{
    struct validated task = request->task; /* borrows the texts of the spec */

    task.spec.seed = openai_request_seed(request, index);
    return submission_make(context, exchange, &task);
}

static void start_order(const struct api_context *context, struct http_exchange *exchange,
                        const struct openai_request *request, enum openai_endpoint endpoint, const char *body)
{
    struct client *client = admission_client(exchange);
    struct submission *tasks[OPENAI_N_MAX] = {0};
    struct order_identity identity;
    struct order_request order = {.client = client,
                                  .submission = tasks,
                                  .count = (size_t)request->n,
                                  .identity = &identity,
                                  .stream = request->stream,
                                  .transparent = request->task.plan.transparent,
                                  .png = request->task.plan.png,
                                  .format = request->format,
                                  .endpoint = endpoint};
    bool ok = !order_identity_make(&identity, http_exchange_request(exchange), client->name, body);

    for (int i = 0; ok && i < request->n; i++) {
        tasks[i] = make_task(context, exchange, request, i);
        ok = tasks[i];
    }
    if (request->ignored[0])
        http_add_header(exchange, "Arkrelay-Ignored", request->ignored);
    if (ok) {
        order_open(context->orders, exchange, &order);
        return;
    }
    for (int i = 0; i < request->n; i++)
        submission_destroy(tasks[i]);
    respond_problem(exchange, PROBLEM_INTERNAL, NULL);
}

static struct openai_size_limits size_limits_of(const char *model, const void *arg)
{
    const struct api_context *context = arg;
    const struct model *row = catalogue_find(context->catalogue, *model ? model : context->defaults->model);

    return (struct openai_size_limits){row->pixels_min, row->listed ? row->pixels_max : 0, MODEL_RATIO_MAX};
}

/* The body as JSON with sorted names, without the fields that only choose the form of the answer: they do not make another order. */
static int write_order_body(json_t *root, char **out)
{
    json_object_del(root, "stream");
    json_object_del(root, "response_format");
    return json_text_write(root, JSON_COMPACT | JSON_SORT_KEYS, out);
}

static int read_request(const struct api_context *context, struct http_exchange *exchange, json_t *root,
                        struct openai_request *out, struct validate_errors *errors)
{
    const struct validate_rules native = submission_rules(context, exchange);
    const struct openai_rules rules = {.aliases = context->aliases,
                                       .default_format = (enum openai_default_format)context->openai_format,
                                       .has_b64 = context->storage,
                                       .native = &native,
                                       .size_limits = size_limits_of,
                                       .arg = context};

    return openai_request_read(root, &rules, out, errors);
}

void openai_images_start(const struct api_context *context, struct http_exchange *exchange, json_t *root,
                         enum openai_endpoint endpoint, struct validate_errors *errors)
{
    struct openai_request request;
    char *body = NULL;
    int err = read_request(context, exchange, root, &request, errors);

    if (err) {
        orders_count(context->orders, endpoint, OPENAI_INVALID);
        if (err == ERR_RANGE)
            respond_field_errors(exchange, errors->fields, errors->count);
        else
            respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    if (write_order_body(root, &body))
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
    else
        start_order(context, exchange, &request, endpoint, body);
    openai_request_deinit(&request);
    free(body);
}
