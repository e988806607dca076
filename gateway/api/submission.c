#include "gateway/api/submission.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/random.h"
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

/* What the ledger must know: the task is counted if an option says so, or a spending limit applies; only then is something reserved. */
static void set_money(const struct api_context *context, const struct client *client, const struct tariff *tariff,
                      struct submission *submission)
{
    struct money_terms *money = &submission->money;
    const struct cost most = price_calls(tariff, submission->max_paid_calls);
    bool is_limited = false;

    money->limit[CAP_CLIENT_DAY] = client_limit(client, CLIENT_SPEND_DAY);
    money->limit[CAP_CLIENT_MONTH] = client_limit(client, CLIENT_SPEND_MONTH);
    money->limit[CAP_ALL_DAY] = context->spend_day;
    money->limit[CAP_ALL_MONTH] = context->spend_month;
    for (enum spending_cap cap = 0; cap < CAP_COUNT; cap++)
        is_limited |= money->limit[cap] > 0;
    if (!is_limited && !context->usage)
        return;
    random_hex(money->reservation, RESERVATION_BYTES);
    money->unpriced = is_limited && !most.known;
    money->micros = is_limited ? most.micros : 0;
    (void)strncat(money->currency, tariff->currency, sizeof(money->currency) - 1);
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
    set_money(context, client, &valid->plan.tariff, submission);
    return submission;
}
