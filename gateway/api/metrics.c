/* GET /metrics: what this gateway has counted, and what Redis knows of the queue, for Prometheus */
#include <stdbool.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/keys.h"
#include "common/task/scripts.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/gateway_metrics.h"

enum { ANSWER_MAX = 1024 * 1024, PARTITION = 0 };

/* Two questions, one after the other: the second one's times mean something by the clock that the first one tells. */
struct scrape {
    struct http_exchange *exchange;
    struct redis *redis;
    const struct gateway_metrics *metrics;
    struct metrics *asked;
    int64_t now_ms; /* Redis's; 0: it has not said */
    struct script_run *queue;
    struct redis_call *governor;
};

static struct scrape *scrape_destroy(struct scrape *scrape)
{
    if (!scrape)
        return NULL;
    if (scrape->queue)
        script_cancel(scrape->queue);
    if (scrape->governor)
        redis_cancel(scrape->governor);
    metrics_destroy(scrape->asked);
    free(scrape);
    return NULL;
}

static void answer(struct scrape *scrape)
{
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    gateway_metrics_write(&body, scrape->metrics, scrape->asked);
    if (buf_error(&body)) {
        answer_problem(scrape->exchange, PROBLEM_INTERNAL, NULL);
    } else {
        http_add_header(scrape->exchange, "Cache-Control", "no-store");
        http_respond(scrape->exchange, 200, METRICS_CONTENT_TYPE, body.data, body.len);
    }
    buf_deinit(&body);
    scrape_destroy(scrape);
}

static void on_governor(const redisReply *reply, int err, void *arg)
{
    struct scrape *scrape = arg;

    scrape->governor = NULL;
    if (!err)
        gateway_metrics_take_governor(scrape->asked, reply, scrape->now_ms);
    answer(scrape);
}

static void on_queue(const redisReply *reply, int err, void *arg)
{
    struct scrape *scrape = arg;

    scrape->queue = NULL;
    scrape->now_ms = err ? 0 : gateway_metrics_take_queue(scrape->asked, reply);
    if (!scrape->now_ms || redis_send_words(scrape->redis, REDIS_WORDS("HMGET", GOVERNOR_KEY, GOVERNOR_FIELDS),
                                            on_governor, scrape, &scrape->governor))
        answer(scrape);
}

static void on_client_gone(void *arg)
{
    scrape_destroy(arg);
}

static int ask(struct scrape *scrape)
{
    char prefix[KEYS_PREFIX_SIZE];

    keys_prefix(prefix, PARTITION);
    return script_run(scrape->redis, &(struct script_call){.script = &scripts[SCRIPT_QUEUE], .prefix = prefix},
                      on_queue, scrape, &scrape->queue);
}

static struct scrape *scrape_create(const struct gateway *gateway, struct http_exchange *exchange)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));

    if (!scrape)
        return NULL;
    scrape->exchange = exchange;
    scrape->redis = gateway->commands;
    scrape->metrics = gateway->config.metrics;
    scrape->asked = gateway_metrics_ask(scrape->metrics);
    return scrape->asked ? scrape : scrape_destroy(scrape);
}

void api_metrics(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    struct scrape *scrape = gateway->config.metrics ? scrape_create(gateway, exchange) : NULL;

    if (!scrape) {
        answer_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    if (ask(scrape))
        answer(scrape);
    else
        http_exchange_on_closed(exchange, on_client_gone, scrape);
}
