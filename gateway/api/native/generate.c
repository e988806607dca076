/* POST /generate and POST /generate/stream: submit a task, and respond with its links or with the stream of its events
 *
 * Both take the same body. Only the first makes up a task_id if there is none; only the second takes on_disconnect.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/random.h"
#include "common/task/task.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/task.h"
#include "gateway/api/submission.h"
#include "gateway/request/headers.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"
#include "gateway/response/spending.h"
#include "gateway/streams/stream.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/submit.h"

enum { RESPONSE_MAX = 4096, RANDOM_ID_BYTES = 16 };

enum generate_kind { GENERATE_STREAM, GENERATE_TASK };

/* -- the request */

static int validate(const struct api_context *context, struct http_exchange *exchange, enum generate_kind kind,
                    struct validated *valid, struct validate_errors *errors)
{
    const struct http_request *request = http_exchange_request(exchange);
    const struct http_text key = idempotency_key_read(request);
    struct validate_rules rules = submission_rules(context, exchange);
    int err;

    rules.id_required = rules.for_stream = kind == GENERATE_STREAM;
    rules.key = key.data;
    rules.key_len = key.len;
    err = validate_body(request->body.data, request->body.len, &rules, valid, errors);

    if (!err && !valid->task_id[0])
        random_hex(valid->task_id, RANDOM_ID_BYTES);
    return err;
}

/* From head and body to a submission; applies the defaults. NULL: the request is invalid, and the exchange was answered. */
static struct submission *read_generate_request(const struct api_context *context, struct http_exchange *exchange,
                                                enum generate_kind kind)
{
    struct validate_errors errors;
    struct validated valid = {0};
    struct submission *submission = NULL;
    int err;

    if (!submission_check_head(exchange))
        return NULL;
    err = validate(context, exchange, kind, &valid, &errors);
    if (err == ERR_SYNTAX) {
        respond_problem(exchange, PROBLEM_INVALID_JSON, errors.syntax);
    } else if (err == ERR_RANGE) {
        respond_field_errors(exchange, errors.fields, errors.count);
    } else {
        submission = err ? NULL : submission_make(context, exchange, &valid);
        if (!submission)
            respond_problem(exchange, PROBLEM_INTERNAL, NULL);
    }
    task_spec_deinit(&valid.spec);
    return submission;
}

/* -- POST /generate */

struct generate {
    struct http_exchange *exchange;
    struct submission *submission;
    struct submit_call *call;
};

static void generate_destroy(struct generate *generate)
{
    submission_destroy(generate->submission);
    free(generate);
}

static void respond_links(struct http_exchange *exchange, const char *task_id, enum task_state state, bool is_new)
{
    struct buf location, body;

    buf_init(&location, RESPONSE_MAX);
    task_path_add(&location, task_id);
    http_add_header(exchange, "Location", buf_text(&location));

    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"task_id\":\"%s\",\"status\":\"%s\",", task_id, task_state_name(state));
    task_path_add_links(&body, task_id);
    buf_add_char(&body, '}');
    buf_fail(&body, buf_error(&location));
    respond_json(exchange, is_new ? 202 : 200, &body);
    buf_deinit(&body);
    buf_deinit(&location);
}

static void generate_on_submitted(const struct submit_result *result, void *arg)
{
    struct generate *generate = arg;

    if (result->images_left >= 0)
        admission_add_image_limit(generate->exchange, result->images_left, result->day_left_ms);
    if (result->spending)
        spending_add_header(generate->exchange, result->spending);
    if (result->log)
        respond_links(generate->exchange, task_id_of(generate->submission->full_id), result->log->state,
                      result->outcome == SUBMIT_NEW);
    else
        respond_problem_after(generate->exchange, submit_problem(result->outcome), result->day_left_ms);
    generate_destroy(generate);
}

static void generate_on_closed(void *arg)
{
    struct generate *generate = arg;

    submit_cancel(generate->call);
    generate_destroy(generate);
}

void api_generate(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct generate *generate;

    if (context->draining) {
        respond_problem(exchange, PROBLEM_DRAINING, NULL);
        return;
    }
    if (respond_if_unacceptable(exchange, "application", "json"))
        return;
    generate = calloc(1, sizeof(*generate));
    if (!generate) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    generate->exchange = exchange;
    generate->submission = read_generate_request(context, exchange, GENERATE_TASK);
    if (!generate->submission) {
        generate_destroy(generate);
    } else if (submit_start(context->submitter, generate->submission, generate_on_submitted, generate,
                            &generate->call)) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        generate_destroy(generate);
    } else {
        http_exchange_on_closed(exchange, generate_on_closed, generate);
    }
}

/* -- POST /generate/stream */

void api_generate_stream(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct stream_request request = {.client = admission_client(exchange)};

    if (respond_if_unacceptable(exchange, "text", "event-stream"))
        return;
    if (!last_event_id_read(http_exchange_request(exchange), &request.resumes, &request.cursor)) {
        respond_problem(exchange, PROBLEM_INVALID_LAST_EVENT_ID, NULL);
        return;
    }
    request.submission = read_generate_request(context, exchange, GENERATE_STREAM);
    if (!request.submission)
        return;
    request.full_id = request.submission->full_id;
    stream_open(context->streams, exchange, &request);
}
