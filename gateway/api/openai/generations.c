/* POST /v1/images/generations: make images from a text, or from a text and images, and respond with them */
#include <jansson.h>

#include "common/http/server.h"
#include "gateway/api/context.h"
#include "gateway/api/openai/endpoints.h"
#include "gateway/api/openai/images.h"
#include "gateway/api/openai/order.h"
#include "gateway/api/submission.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"

static void refuse_body(struct http_exchange *exchange, int err, const struct validate_errors *errors)
{
    if (err == ERR_SYNTAX)
        respond_problem(exchange, PROBLEM_INVALID_JSON, errors->syntax);
    else if (err == ERR_RANGE)
        respond_field_errors(exchange, errors->fields, errors->count);
    else
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
}

void api_openai_generations(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    const struct http_request *request = http_exchange_request(exchange);
    struct validate_errors errors;
    json_t *root;
    int err;

    if (!submission_check_head(exchange)) {
        orders_count(context->orders, OPENAI_GENERATIONS, OPENAI_INVALID);
        return;
    }
    validate_begin(&errors);
    err = validate_parse(request->body.data, request->body.len, &root, &errors);
    if (err) {
        orders_count(context->orders, OPENAI_GENERATIONS, OPENAI_INVALID);
        refuse_body(exchange, err, &errors);
        return;
    }
    openai_images_start(context, exchange, root, OPENAI_GENERATIONS, &errors);
    json_decref(root);
}
