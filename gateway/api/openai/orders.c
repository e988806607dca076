#include "gateway/api/openai/order.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/loop.h"
#include "common/base/timeouts.h"
#include "gateway/api/openai/encoding.h"
#include "gateway/api/openai/order_state.h"

enum { ANSWER_WITHIN_MS = 900 }; /* a client gets a 503 within a second if Redis does not reply */

void orders_count(const struct orders *orders, enum openai_endpoint endpoint, enum openai_outcome outcome)
{
    metrics_add(orders->config.metrics, SAMPLE(METRIC_OPENAI_REQUESTS, endpoint, outcome), 1);
}

struct orders *orders_create(struct loop *loop, const struct orders_config *config)
{
    struct orders *orders = calloc(1, sizeof(*orders));

    if (!orders)
        return NULL;
    orders->loop = loop;
    orders->config = *config;
    TAILQ_INIT(&orders->all);
    repeats_init(&orders->repeats, config->commands, config->retry_window_ms);
    orders->answers = timeouts_create(loop, ANSWER_WITHIN_MS, order_on_answer_timeout, NULL);
    orders->holds = timeouts_create(loop, config->hold_ms, order_on_hold_timeout, NULL);
    orders->heartbeats = timeouts_create(loop, config->heartbeat_ms, order_on_heartbeat, NULL);
    if (config->storage)
        orders->encodings = encodings_create(loop, config->commands, config->storage);
    if (!orders->answers || !orders->holds || !orders->heartbeats || (config->storage && !orders->encodings))
        return orders_destroy(orders);
    return orders;
}

struct orders *orders_destroy(struct orders *orders)
{
    if (!orders)
        return NULL;
    assert(TAILQ_EMPTY(&orders->all));
    timeouts_destroy(orders->answers);
    timeouts_destroy(orders->holds);
    timeouts_destroy(orders->heartbeats);
    encodings_destroy(orders->encodings);
    repeats_deinit(&orders->repeats);
    free(orders);
    return NULL;
}

void orders_on_commands_ready(struct orders *orders)
{
    repeats_on_commands_ready(&orders->repeats);
}

void orders_drain(struct orders *orders)
{
    struct order *order = TAILQ_FIRST(&orders->all);

    orders->draining = true;
    while (order) {
        struct order *next = TAILQ_NEXT(order, link);

        if (order->state == ORDER_HELD)
            order_refuse(order, PROBLEM_DRAINING, 0);
        else if (order->state == ORDER_OPEN)
            order_cut(order);
        order = next;
    }
}
