#include "gateway/api/openai/order_state.h"

#include <jansson.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/timeouts.h"
#include "common/http/server.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/response/respond.h"
#include "gateway/response/spending.h"
#include "gateway/streams/hub.h"

enum { TASKS_HEADER_MAX = OPENAI_N_MAX * (TASK_ID_MAX + 2) + 1 };

/* -- the ids of the tasks */

static void set_task_ids(struct order *order)
{
    char id[TASK_ID_MAX + 1];

    for (size_t i = 0; i < order->count; i++) {
        order_task_id(id, &order->identity, i, order->count);
        task_full_id(order->parts[i].submission->full_id, order->client->name, id);
    }
}

static void add_task_ids(struct order *order)
{
    char id[TASK_ID_MAX + 1];
    struct buf ids;

    buf_init(&ids, TASKS_HEADER_MAX);
    for (size_t i = 0; i < order->count; i++) {
        order_task_id(id, &order->identity, i, order->count);
        buf_addf(&ids, "%s%s", i ? ", " : "", id);
    }
    if (!buf_error(&ids))
        http_add_header(order->exchange, "Arkrelay-Tasks", buf_text(&ids));
    buf_deinit(&ids);
}

/* -- accepted */

static bool has_image(const struct order *order)
{
    for (size_t i = 0; i < order->count; i++)
        if (order->parts[i].has_image || order->parts[i].done)
            return true;
    return false;
}

/* What the logs had is shown now; images of tasks that run are shown again at their end. */
static void all_asked(struct order *order)
{
    timeouts_cancel(order->orders->answers, &order->timer);
    order->state = ORDER_HELD;
    timeouts_start(order->orders->holds, &order->timer);
    if (order->orders->draining) {
        order_refuse(order, PROBLEM_DRAINING, 0);
        return;
    }
    if (has_image(order) && order_opens_early(order) && (order->stream || !order_has_ended(order)))
        order_begin_answer(order);
    for (size_t i = 0; i < order->count && order->state == ORDER_OPEN && order->stream; i++)
        order_stream_images(&order->parts[i], json_object_get(order->parts[i].done, "generated_images"));
    order_check_ended(order);
}

/* The amounts of all new tasks are equal: RESERVE has reserved for all of them. */
static void add_spending(struct order *order, const struct submit_result *results)
{
    for (size_t i = 0; i < order->count; i++) {
        if (results[i].spending) {
            spending_add_header(order->exchange, results[i].spending);
            return;
        }
    }
}

static void add_image_limit(struct order *order, const struct submit_result *results)
{
    for (size_t i = 0; i < order->count; i++) {
        if (results[i].images_left >= 0) {
            admission_add_image_limit(order->exchange, results[i].images_left, results[i].day_left_ms);
            return;
        }
    }
}

/* -- refused, or found */

/* A client of this API knows no task_id. */
static void refuse_conflict(struct order *order)
{
    respond_problem(order->exchange, PROBLEM_TASK_ID_CONFLICT,
                    order->identity.key[0]
                        ? "This Idempotency-Key belongs to another request. Send a new key with a new request."
                        : "The repeated request has other tasks since the options of the server have changed. Send it "
                          "again for new images.");
    order_close(order, OPENAI_REFUSED);
}

static void order_on_refused(struct order *order, const struct submit_result *result)
{
    /* After a conflict, a known order has tasks of other requests: options have changed. */
    if (result->outcome != SUBMIT_FAILED)
        order->has_tasks = order->identity.is_known && result->outcome != SUBMIT_CONFLICT;
    if (result->spending)
        spending_add_header(order->exchange, result->spending);
    if (result->outcome == SUBMIT_CONFLICT)
        refuse_conflict(order);
    else
        order_refuse(order, submit_problem(result->outcome), result->day_left_ms);
}

/* The request repeats an order. Nothing was created: this time it submits the tasks of that order. */
static void order_on_found(struct order *order, const char *order_id)
{
    if (!order_id || strlen(order_id) != ORDER_ID_SIZE - 1) {
        order_refuse(order, PROBLEM_STORE_UNAVAILABLE, 0);
        return;
    }
    memcpy(order->identity.id, order_id, ORDER_ID_SIZE);
    order->identity.is_known = true;
    metrics_add(order->orders->config.metrics, SAMPLE(METRIC_OPENAI_REPEATS), 1);
    for (size_t i = 0; i < order->count; i++) {
        part_leave(&order->parts[i]);
        order->parts[i].viewer.asked_early = false;
    }
    order_submit(order);
}

static void order_on_submitted(const struct submit_result *results, void *arg)
{
    struct order *order = arg;

    order->submitting = NULL;
    if (results[0].outcome == SUBMIT_FOUND) {
        order_on_found(order, results[0].order_id);
        return;
    }
    add_task_ids(order);
    if (!results[0].log) {
        order_on_refused(order, &results[0]);
        return;
    }
    for (size_t i = 0; i < order->count; i++) {
        struct part *part = &order->parts[i];

        part_take_log(part, results[i].log);
        if (!part->ended)
            watch_add_live(part->viewer.watch, &part->viewer, results[i].log);
    }
    add_image_limit(order, results);
    add_spending(order, results);
    all_asked(order);
}

void order_submit(struct order *order)
{
    const struct orders_config *config = &order->orders->config;
    struct submission *submissions[OPENAI_N_MAX];
    int err = 0;

    set_task_ids(order);
    for (size_t i = 0; i < order->count && !err; i++) {
        submissions[i] = order->parts[i].submission;
        err = hub_join(config->hub, &order->parts[i].viewer, submissions[i]->full_id);
    }
    if (!err)
        err = submit_order_start(config->submitter, &order->identity, submissions, order->count, order_on_submitted,
                                 order, &order->submitting);
    order->has_tasks = !err || order->identity.is_known;
    if (err)
        order_refuse(order, PROBLEM_STORE_UNAVAILABLE, 0);
}
