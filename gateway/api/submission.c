#include "gateway/api/submission.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/http/server.h"
#include "common/models/plan_text.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/request/headers.h"
#include "gateway/request/validate.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/submit.h"

bool submission_check_head(struct http_exchange *exchange)
{
    enum problem problem = headers_problem(http_exchange_request(exchange));

    if (problem == PROBLEM_COUNT)
        return true;
    if (problem == PROBLEM_LENGTH_REQUIRED) /* the bytes that follow may be the body */
        http_add_header(exchange, "Connection", "close");
    respond_problem(exchange, problem, NULL);
    return false;
}

/* NULL: out of memory. */
static char *write_plan(const struct plan *plan)
{
    struct buf text;
    char *taken;

    buf_init(&text, PLAN_TEXT_MAX);
    plan_write(&text, plan);
    taken = buf_take(&text);
    buf_deinit(&text);
    return taken;
}

struct submission *submission_make(const struct api_context *context, struct http_exchange *exchange,
                                   const struct validated *valid)
{
    struct http_text trace = http_request_header(http_exchange_request(exchange), "traceparent");
    const char *request_id = http_exchange_request_id(exchange);
    const struct client *client = admission_client(exchange);
    struct submission *submission = calloc(1, sizeof(*submission));

    if (!submission || task_spec_write(&valid->spec, &submission->request) ||
        task_spec_hash(submission->hash, submission->request) || !(submission->plan = write_plan(&valid->plan)))
        return submission_destroy(submission);
    submission_set_inputs(submission, &valid->spec);
    task_full_id(submission->full_id, client->name, valid->task_id);
    trace_read(submission->trace, trace.data, trace.len);
    (void)strncat(submission->request_id, request_id, sizeof(submission->request_id) - 1);
    if (context->task_list)
        (void)strncat(submission->owes, OWES_LIST, sizeof(submission->owes) - 1);
    submission->on_disconnect = valid->on_disconnect;
    submission->max_paid_calls = valid->spec.max_paid_calls ? valid->spec.max_paid_calls : context->max_paid_calls;
    submission->client_queued_max = client_limit(client, CLIENT_QUEUED);
    submission->images = valid->plan.images;
    submission->client_images_max = client_limit(client, CLIENT_IMAGES);
    return submission;
}
