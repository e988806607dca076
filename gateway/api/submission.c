#include "gateway/api/submission.h"

#include <stdio.h>
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

struct validate_rules submission_rules(const struct api_context *context, struct http_exchange *exchange)
{
    struct client_webhook webhook;

    client_get_webhook(admission_client(exchange), &webhook);
    return (struct validate_rules){.catalogue = context->catalogue,
                                   .defaults = context->defaults,
                                   .max_paid_calls = context->max_paid_calls_limit,
                                   .data_urls = context->data_urls,
                                   .webhooks = (enum validate_webhooks)context->webhooks,
                                   .has_default_webhook = *webhook.url};
}

/* Texts are borrowed from the spec and from the client's webhook. */
static struct plan_webhook plan_webhook_of(const struct task_spec *spec, const struct client_webhook *webhook)
{
    const char *url = spec->webhook ? spec->webhook : *webhook->url ? webhook->url : NULL;

    return (struct plan_webhook){.url = url,
                                 .events = spec->webhook_events ? spec->webhook_events : TASK_ON_FINAL,
                                 .generation = webhook->generation};
}

static void add_duty(struct submission *submission, const char *letter)
{
    (void)strncat(submission->owes, letter, sizeof(submission->owes) - 1 - strlen(submission->owes));
}

/* ERR_NO_MEMORY. */
static int set_plan(struct submission *submission, const struct api_context *context, struct client *client,
                    const struct validated *valid)
{
    struct client_webhook webhook;
    struct plan plan = valid->plan;
    struct buf text;

    client_get_webhook(client, &webhook);
    if (context->webhooks != WEBHOOKS_OFF)
        plan.webhook = plan_webhook_of(&valid->spec, &webhook);
    if (plan.webhook.url)
        add_duty(submission, OWES_WEBHOOK);
    buf_init(&text, PLAN_TEXT_MAX);
    plan_write(&text, &plan);
    submission->plan = buf_take(&text);
    buf_deinit(&text);
    return submission->plan ? 0 : ERR_NO_MEMORY;
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
    (void)snprintf(money->currency, sizeof(money->currency), "%s", tariff->currency);
}

struct submission *submission_make(const struct api_context *context, struct http_exchange *exchange,
                                   const struct validated *valid)
{
    struct http_text trace = http_request_header(http_exchange_request(exchange), "traceparent");
    const char *request_id = http_exchange_request_id(exchange);
    struct client *client = admission_client(exchange);
    struct submission *submission = calloc(1, sizeof(*submission));

    if (!submission || task_spec_write(&valid->spec, &submission->request) ||
        task_spec_hash(submission->hash, submission->request) || set_plan(submission, context, client, valid))
        return submission_destroy(submission);
    submission_set_inputs(submission, &valid->spec);
    task_full_id(submission->full_id, client->name, valid->task_id);
    trace_read(submission->trace, trace.data, trace.len);
    (void)strncat(submission->request_id, request_id, sizeof(submission->request_id) - 1);
    if (context->task_list)
        add_duty(submission, OWES_LIST);
    submission->on_disconnect = valid->on_disconnect;
    submission->max_paid_calls = valid->spec.max_paid_calls ? valid->spec.max_paid_calls : context->max_paid_calls;
    submission->client_queued_max = client_limit(client, CLIENT_QUEUED);
    submission->images = valid->plan.images;
    submission->client_images_max = client_limit(client, CLIENT_IMAGES);
    set_money(context, client, &valid->plan.tariff, submission);
    return submission;
}
