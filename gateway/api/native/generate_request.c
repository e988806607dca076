#include "gateway/api/native/generate_request.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/http/server.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/request/headers.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/submit.h"

enum { RANDOM_ID_BYTES = 16 };

static bool check_head(struct http_exchange *exchange)
{
    enum problem problem = headers_problem(http_exchange_request(exchange));

    if (problem == PROBLEM_COUNT)
        return true;
    if (problem == PROBLEM_LENGTH_REQUIRED) /* the bytes that follow may be the body */
        http_add_header(exchange, "Connection", "close");
    respond_problem(exchange, problem, NULL);
    return false;
}

static struct submission *make_submission(const struct api_context *context, struct http_exchange *exchange,
                                          const struct validated *valid)
{
    struct http_text trace = http_request_header(http_exchange_request(exchange), "traceparent");
    const char *request_id = http_exchange_request_id(exchange);
    const struct client *client = admission_client(exchange);
    struct submission *submission = calloc(1, sizeof(*submission));

    if (!submission || task_spec_write(&valid->spec, &submission->request) ||
        task_spec_hash(submission->hash, submission->request))
        return submission_destroy(submission);
    task_full_id(submission->full_id, client->name, valid->task_id);
    trace_read(submission->trace, trace.data, trace.len);
    (void)strncat(submission->request_id, request_id, sizeof(submission->request_id) - 1);
    submission->on_disconnect = valid->on_disconnect;
    submission->max_paid_calls = valid->spec.max_paid_calls ? valid->spec.max_paid_calls : context->max_paid_calls;
    submission->client_queued_max = client_limit(client, CLIENT_QUEUED);
    submission->images = valid->plan.images;
    submission->client_images_max = client_limit(client, CLIENT_IMAGES);
    return submission;
}

static int validate(const struct api_context *context, const struct http_request *request, enum generate_kind kind,
                    struct validated *valid, struct validate_report *report)
{
    const struct http_text key = idempotency_key_read(request);
    const struct validate_rules rules = {.catalogue = context->catalogue,
                                         .defaults = context->defaults,
                                         .max_paid_calls = context->max_paid_calls_limit,
                                         .data_urls = context->data_urls,
                                         .id_required = kind == GENERATE_STREAM,
                                         .for_stream = kind == GENERATE_STREAM,
                                         .key = key.data,
                                         .key_len = key.len};
    int err = validate_body(request->body.data, request->body.len, &rules, valid, report);

    if (!err && !valid->task_id[0])
        random_hex(valid->task_id, RANDOM_ID_BYTES);
    return err;
}

struct submission *generate_request_read(const struct api_context *context, struct http_exchange *exchange,
                                         enum generate_kind kind)
{
    struct validate_report report;
    struct validated valid = {0};
    struct submission *submission = NULL;
    int err;

    if (!check_head(exchange))
        return NULL;
    err = validate(context, http_exchange_request(exchange), kind, &valid, &report);
    if (err == ERR_SYNTAX) {
        respond_problem(exchange, PROBLEM_INVALID_JSON, report.syntax);
    } else if (err == ERR_RANGE) {
        respond_field_errors(exchange, report.fields, report.count);
    } else {
        submission = err ? NULL : make_submission(context, exchange, &valid);
        if (!submission)
            respond_problem(exchange, PROBLEM_INTERNAL, NULL);
    }
    task_spec_deinit(&valid.spec);
    return submission;
}
