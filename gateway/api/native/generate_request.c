#include "gateway/api/native/generate_request.h"

#include "common/base/random.h"
#include "common/http/server.h"
#include "gateway/api/context.h"
#include "gateway/api/submission.h"
#include "gateway/request/headers.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/submit.h"

enum { RANDOM_ID_BYTES = 16 };

static int validate(const struct api_context *context, const struct http_request *request, enum generate_kind kind,
                    struct validated *valid, struct validate_report *report)
{
    const struct http_text key = idempotency_key_read(request);
    const struct validate_rules rules = {.max_paid_calls = context->max_paid_calls_limit,
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

    if (!submission_check_head(exchange))
        return NULL;
    err = validate(context, http_exchange_request(exchange), kind, &valid, &report);
    if (err == ERR_SYNTAX) {
        respond_problem(exchange, PROBLEM_INVALID_JSON, report.syntax);
    } else if (err == ERR_RANGE) {
        respond_field_errors(exchange, report.fields, report.count);
    } else {
        submission = err ? NULL : submission_make(context, exchange, &valid);
        if (!submission)
            respond_problem(exchange, PROBLEM_INTERNAL, NULL);
    }
    task_spec_deinit(&valid.spec);
    return submission;
}
