#include "gateway/api/native/generate_request.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/server.h"
#include "common/random.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/gateway.h"
#include "gateway/options.h"
#include "gateway/request/media.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/submit.h"

enum { RANDOM_ID_BYTES = 16 };

bool intake_accepts(struct http_exchange *exchange, const char *type, const char *subtype)
{
    const struct http_request *request = http_exchange_request(exchange);
    bool any = false;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];

        if (!http_text_is_nocase(header->name, "Accept"))
            continue;
        any = true;
        if (media_is_accepted(header->value.data, header->value.len, type, subtype))
            return true;
    }
    if (any)
        respond_problem(exchange, PROBLEM_NOT_ACCEPTABLE, NULL);
    return !any;
}

/* A list may be spread over several lines (RFC 9110, section 5.3). */
static bool is_encoded(const struct http_request *request)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (http_text_is_nocase(request->headers[i].name, "Content-Encoding") &&
            !http_text_is_nocase(request->headers[i].value, "identity"))
            return true;
    return false;
}

/* What is wrong with the head alone, or PROBLEM_COUNT. */
static enum problem head_problem(const struct http_request *request)
{
    struct http_text type = http_request_header(request, "Content-Type");

    if (!request->has_content_length && !request->chunked)
        return PROBLEM_LENGTH_REQUIRED;
    if (!type.data || !media_is_json(type.data, type.len))
        return PROBLEM_CONTENT_TYPE;
    if (is_encoded(request))
        return PROBLEM_CONTENT_ENCODING;
    return PROBLEM_COUNT;
}

static bool head_is_good(struct http_exchange *exchange)
{
    enum problem problem = head_problem(http_exchange_request(exchange));

    if (problem == PROBLEM_COUNT)
        return true;
    if (problem == PROBLEM_LENGTH_REQUIRED) /* whatever follows may be meant as the body */
        http_add_header(exchange, "Connection", "close");
    respond_problem(exchange, problem, NULL);
    return false;
}

/* The header's value, with or without the quotes that its draft standard asks for. */
static struct http_text idempotency_key(const struct http_request *request)
{
    struct http_text key = http_request_header(request, "Idempotency-Key");

    if (key.len >= 2 && key.data[0] == '"' && key.data[key.len - 1] == '"')
        key = (struct http_text){key.data + 1, key.len - 2};
    return key;
}

static struct submission *make_submission(const struct gateway *gateway, struct http_exchange *exchange,
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
    submission->max_paid_calls =
        valid->spec.max_paid_calls ? valid->spec.max_paid_calls : (int)gateway->config.options->max_paid_calls;
    submission->client_queued_max = client_limit(client, CLIENT_QUEUED);
    submission->images = valid->spec.max_images ? valid->spec.max_images : gateway->config.options->ark_max_images;
    submission->client_images_max = client_limit(client, CLIENT_IMAGES);
    return submission;
}

static int validate(const struct gateway *gateway, const struct http_request *request, enum generate_kind intake,
                    struct validated *valid, struct validate_report *report)
{
    const struct gateway_options *options = gateway->config.options;
    const struct http_text key = idempotency_key(request);
    const struct validate_rules rules = {.max_paid_calls = (int)options->max_paid_calls_limit,
                                         .data_urls = options->data_urls,
                                         .id_required = intake == GENERATE_STREAM,
                                         .for_stream = intake == GENERATE_STREAM,
                                         .key = key.data,
                                         .key_len = key.len};
    int err = validate_body(request->body.data, request->body.len, &rules, valid, report);

    if (!err && !valid->task_id[0])
        random_hex(valid->task_id, RANDOM_ID_BYTES);
    return err;
}

struct submission *generate_request_read(const struct gateway *gateway, struct http_exchange *exchange,
                                         enum generate_kind intake)
{
    struct validate_report report;
    struct validated valid = {0};
    struct submission *submission = NULL;
    int err;

    if (!head_is_good(exchange))
        return NULL;
    err = validate(gateway, http_exchange_request(exchange), intake, &valid, &report);
    if (err == ERR_SYNTAX) {
        respond_problem(exchange, PROBLEM_INVALID_JSON, report.syntax);
    } else if (err == ERR_RANGE) {
        respond_field_errors(exchange, report.fields, report.count);
    } else {
        submission = err ? NULL : make_submission(gateway, exchange, &valid);
        if (!submission)
            respond_problem(exchange, PROBLEM_INTERNAL, NULL);
    }
    task_spec_deinit(&valid.spec);
    return submission;
}
