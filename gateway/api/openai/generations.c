/* POST /v1/images/generations: make images from a text, or from a text and images, and respond with them */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/base/random.h"
#include "common/base/sha256.h"
#include "gateway/access/admission.h"
#include "gateway/api/context.h"
#include "gateway/api/openai/endpoints.h"
#include "gateway/api/openai/fields.h"
#include "gateway/api/openai/order.h"
#include "gateway/api/submission.h"
#include "gateway/request/headers.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/submit.h"

enum { ORDER_ID_BYTES = 16, ORDER_ID_SIZE = 2 * ORDER_ID_BYTES + 1 };

/* Tasks of one Idempotency-Key have the same ids every time, so that a repeated request attaches to them. */
static int make_order_id(char out[ORDER_ID_SIZE], const struct http_request *request)
{
    struct http_text key = idempotency_key_read(request);
    unsigned char digest[SHA256_SIZE];
    int err;

    if (!key.len) {
        random_hex(out, ORDER_ID_BYTES);
        return 0;
    }
    err = sha256(digest, key.data, key.len);
    for (size_t i = 0; !err && i < ORDER_ID_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return err;
}

static struct submission *make_task(const struct api_context *context, struct http_exchange *exchange,
                                    const struct openai_request *request, const char *order_id, int index)
{
    struct validated task = request->task; /* borrows the texts of the spec */
    size_t size = sizeof(task.task_id);

    if (request->n == 1)
        (void)snprintf(task.task_id, size, "img-%s", order_id);
    else
        (void)snprintf(task.task_id, size, "img-%s-%d", order_id, index);
    task.spec.seed = openai_request_seed(request, index);
    return submission_make(context, exchange, &task);
}

static void start_order(const struct api_context *context, struct http_exchange *exchange,
                        const struct openai_request *request)
{
    struct submission *tasks[OPENAI_N_MAX] = {0};
    struct order_request order = {.client = admission_client(exchange),
                                  .submission = tasks,
                                  .count = (size_t)request->n,
                                  .stream = request->stream,
                                  .format = request->format};
    char order_id[ORDER_ID_SIZE];
    bool ok = !make_order_id(order_id, http_exchange_request(exchange));

    for (int i = 0; ok && i < request->n; i++) {
        tasks[i] = make_task(context, exchange, request, order_id, i);
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

static int read_request(const struct api_context *context, const struct http_request *request,
                        struct openai_request *out, struct validate_errors *errors)
{
    const struct validate_rules native = {.max_paid_calls = context->max_paid_calls_limit,
                                          .data_urls = context->data_urls};
    const struct openai_rules rules = {.aliases = context->aliases,
                                       .default_format = (enum openai_default_format)context->openai_format,
                                       .native = &native};
    json_t *root;
    int err;

    validate_begin(errors);
    err = validate_parse(request->body.data, request->body.len, &root, errors);
    if (err)
        return err;
    err = openai_request_read(root, &rules, out, errors);
    json_decref(root);
    return err;
}

void api_openai_generations(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct validate_errors errors;
    struct openai_request request;
    int err;

    if (!submission_check_head(exchange))
        return;
    err = read_request(context, http_exchange_request(exchange), &request, &errors);
    if (err == ERR_SYNTAX) {
        respond_problem(exchange, PROBLEM_INVALID_JSON, errors.syntax);
    } else if (err == ERR_RANGE) {
        respond_field_errors(exchange, errors.fields, errors.count);
    } else if (err) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
    } else {
        start_order(context, exchange, &request);
        openai_request_deinit(&request);
    }
}
