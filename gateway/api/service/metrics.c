/* GET /metrics: this gateway's counters, and the state of the queue and the account in Redis, for Prometheus */
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/account/account.h"
#include "gateway/api/context.h"
#include "gateway/api/service/endpoints.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024, PARTITION = 0 };

/* Commands one after the other: the times in the last reply are relative to the Redis time in the first. */
struct scrape {
    struct http_exchange *exchange;
    struct redis *redis;
    const struct gateway_metrics *metrics;
    struct metrics *scraped;
    int64_t now_ms;                 /* time of Redis; 0: not known */
    int64_t spend_day, spend_month; /* the spending limits of all clients together */
    struct script_run *queue, *webhooks, *ledger;
    bool has_webhooks;
    struct redis_call *account;
};

static struct scrape *scrape_destroy(struct scrape *scrape)
{
    if (!scrape)
        return NULL;
    if (scrape->queue)
        script_cancel(scrape->queue);
    if (scrape->webhooks)
        script_cancel(scrape->webhooks);
    if (scrape->ledger)
        script_cancel(scrape->ledger);
    if (scrape->account)
        redis_cancel(scrape->account);
    metrics_destroy(scrape->scraped);
    free(scrape);
    return NULL;
}

static void respond(struct scrape *scrape)
{
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    gateway_metrics_write(&body, scrape->metrics, scrape->scraped);
    if (buf_error(&body)) {
        respond_problem(scrape->exchange, PROBLEM_INTERNAL, NULL);
    } else {
        http_add_header(scrape->exchange, "Cache-Control", "no-store");
        http_respond(scrape->exchange, 200, METRICS_CONTENT_TYPE, body.data, body.len);
    }
    buf_deinit(&body);
    scrape_destroy(scrape);
}

static void scrape_on_ledger(const redisReply *reply, int err, void *arg)
{
    struct scrape *scrape = arg;

    scrape->ledger = NULL;
    if (!err)
        gateway_metrics_set_spending(scrape->scraped, reply, scrape->spend_day, scrape->spend_month);
    respond(scrape);
}

static int send_ledger(struct scrape *scrape)
{
    const struct script_arg all_clients = SCRIPT_TEXT("");

    return script_run(scrape->redis,
                      &(struct script_call){
                          .script = &scripts[SCRIPT_LEDGER], .prefix = KEYS_MONEY, .args = &all_clients, .count = 1},
                      scrape_on_ledger, scrape, &scrape->ledger);
}

static void scrape_on_account(const redisReply *reply, int err, void *arg)
{
    struct scrape *scrape = arg;
    struct account account;

    scrape->account = NULL;
    if (!err && reply->type == REDIS_REPLY_ARRAY) { /* an error reply: the Redis user has no permission to read it */
        account_read(&account, reply);
        gateway_metrics_set_account(scrape->scraped, &account, scrape->now_ms);
    }
    if (send_ledger(scrape))
        respond(scrape);
}

static void read_account(struct scrape *scrape)
{
    if (redis_send_words(scrape->redis, REDIS_WORDS(ACCOUNT_READ), scrape_on_account, scrape, &scrape->account))
        respond(scrape);
}

static void scrape_on_webhooks(const redisReply *reply, int err, void *arg)
{
    struct scrape *scrape = arg;

    scrape->webhooks = NULL;
    if (!err)
        gateway_metrics_set_webhooks(scrape->scraped, reply);
    read_account(scrape);
}

/* Only the numbers, not the lists. */
static int send_webhooks(struct scrape *scrape)
{
    const struct script_arg args[] = {SCRIPT_TEXT("0"), SCRIPT_TEXT("0")};
    char prefix[KEYS_PREFIX_SIZE];

    keys_prefix(prefix, PARTITION);
    return script_run(scrape->redis,
                      &(struct script_call){.script = &scripts[SCRIPT_WEBHOOKS],
                                            .prefix = prefix,
                                            .args = args,
                                            .count = sizeof(args) / sizeof(args[0])},
                      scrape_on_webhooks, scrape, &scrape->webhooks);
}

static void scrape_on_queue(const redisReply *reply, int err, void *arg)
{
    struct scrape *scrape = arg;

    scrape->queue = NULL;
    scrape->now_ms = err ? 0 : gateway_metrics_set_queue(scrape->scraped, reply);
    if (!scrape->now_ms)
        respond(scrape);
    else if (!scrape->has_webhooks || send_webhooks(scrape))
        read_account(scrape);
}

static void scrape_on_closed(void *arg)
{
    scrape_destroy(arg);
}

static int send_queue(struct scrape *scrape)
{
    char prefix[KEYS_PREFIX_SIZE];

    keys_prefix(prefix, PARTITION);
    return script_run(scrape->redis, &(struct script_call){.script = &scripts[SCRIPT_QUEUE], .prefix = prefix},
                      scrape_on_queue, scrape, &scrape->queue);
}

static struct scrape *scrape_create(const struct api_context *context, struct http_exchange *exchange)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));

    if (!scrape)
        return NULL;
    scrape->exchange = exchange;
    scrape->redis = context->commands;
    scrape->has_webhooks = context->webhooks;
    scrape->metrics = context->metrics;
    scrape->spend_day = context->spend_day;
    scrape->spend_month = context->spend_month;
    scrape->scraped = gateway_metrics_begin_scrape(scrape->metrics);
    return scrape->scraped ? scrape : scrape_destroy(scrape);
}

void api_metrics(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct scrape *scrape = context->metrics ? scrape_create(context, exchange) : NULL;

    if (!scrape) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    if (send_queue(scrape))
        respond(scrape);
    else
        http_exchange_on_closed(exchange, scrape_on_closed, scrape);
}
