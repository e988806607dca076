#include "gateway/api/openai/order.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/timeouts.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "gateway/access/client.h"
#include "gateway/api/openai/answer.h"
#include "gateway/api/openai/encoding.h"
#include "gateway/api/openai/order_state.h"
#include "gateway/response/respond.h"
#include "gateway/streams/hub.h"

/* -- closing */

static void free_order(void *arg)
{
    struct order *order = arg;

    for (size_t i = 0; i < order->count; i++)
        part_deinit(&order->parts[i]);
    free(order);
}

static struct timeouts *timeouts_of(const struct order *order)
{
    const struct orders *orders = order->orders;

    return order->state == ORDER_ASKING ? orders->answers
           : order->state == ORDER_HELD ? orders->holds
                                        : orders->heartbeats;
}

/* An order that closes without its answer. */
static void report_unanswered(struct order *order)
{
    if (order->has_tasks)
        repeats_report(&order->orders->repeats, &order->identity, ORDER_UNANSWERED);
    order->has_tasks = false;
}

void order_close(struct order *order, enum openai_outcome outcome)
{
    log_debug("openai", "closing", "order=%s outcome=%s", order->identity.id, gateway_metrics_openai_outcome(outcome));
    orders_count(order->orders, order->endpoint, outcome);
    timeouts_cancel(timeouts_of(order), &order->timer);
    submit_cancel(order->submitting);
    report_unanswered(order);
    order->encoding = encoding_destroy(order->encoding);
    order->state = ORDER_CLOSED;
    order->exchange = NULL;
    for (size_t i = 0; i < order->count; i++)
        part_leave(&order->parts[i]);
    client_leave_stream(order->client);
    TAILQ_REMOVE(&order->orders->all, order, link);
    loop_defer(order->orders->loop, &order->deferred, free_order, order);
}

static void order_on_closed(void *arg)
{
    order_close(arg, OPENAI_GONE);
}

void order_refuse(struct order *order, enum problem problem, int64_t wait_ms)
{
    respond_problem_after(order->exchange, problem, wait_ms);
    order_close(order, OPENAI_REFUSED);
}

/* A cut that no client takes for the end: no last chunk, or in HTTP/1.0 a reset. */
void order_cut(struct order *order)
{
    http_abort(order->exchange, order->http_1_0 ? HTTP_ABORT_RST : HTTP_ABORT_FIN);
    order_close(order, OPENAI_CUT);
}

/* -- OPEN: the head is sent */

bool order_write(struct order *order, const struct buf *bytes)
{
    if (buf_error(bytes)) {
        order_cut(order);
        return false;
    }
    http_stream_write(order->exchange, bytes->data, bytes->len);
    return true;
}

void order_begin_answer(struct order *order)
{
    timeouts_cancel(order->orders->holds, &order->timer);
    order->state = ORDER_OPEN;
    timeouts_start(order->orders->heartbeats, &order->timer);
    http_add_header(order->exchange, "Cache-Control", "no-store, no-transform");
    http_add_header(order->exchange, "X-Accel-Buffering", "no");
    http_stream_begin(order->exchange, 200, order->stream ? "text/event-stream; charset=utf-8" : "application/json");
}

/* Pictures that are still to be read from the storage can fail, as long as possible with a status. */
bool order_opens_early(const struct order *order)
{
    return order->stream || !order->encoding;
}

bool order_on_image(struct order *order)
{
    if (order->state == ORDER_HELD && order_opens_early(order))
        order_begin_answer(order);
    return order->state == ORDER_OPEN && order->stream;
}

void order_on_hold_timeout(struct timeout *timer, void *unused)
{
    struct order *order = container_of(timer, struct order, timer);

    (void)unused;
    order_begin_answer(order);
    http_stream_write(order->exchange, order->stream ? ": waiting\n" : " ", order->stream ? strlen(": waiting\n") : 1);
}

void order_on_heartbeat(struct timeout *timer, void *unused)
{
    struct order *order = container_of(timer, struct order, timer);
    const char *sign = order->stream ? ": keep-alive\n" : " ";

    (void)unused;
    timeouts_start(order->orders->heartbeats, &order->timer);
    if (!encoding_is_writing(order->encoding) && !http_stream_is_behind(order->exchange))
        http_stream_write(order->exchange, sign, strlen(sign));
}

void order_on_answer_timeout(struct timeout *timer, void *unused)
{
    (void)unused;
    order_refuse(container_of(timer, struct order, timer), PROBLEM_STORE_UNAVAILABLE, 0);
}

/* -- the end */

enum openai_outcome order_outcome(const struct order *order)
{
    size_t done = 0;

    for (size_t i = 0; i < order->count; i++)
        done += json_array_size(json_object_get(order->parts[i].done, "generated_images")) != 0;
    return !done ? OPENAI_FAILED : done < order->count ? OPENAI_PARTIAL : OPENAI_DONE;
}

void order_report_answered(struct order *order)
{
    repeats_answered(&order->orders->repeats, &order->identity, order->exchange);
    order->has_tasks = false;
}

void order_end_answer(struct order *order, enum openai_outcome outcome)
{
    order_report_answered(order);
    http_stream_end(order->exchange);
    order_close(order, outcome);
}

/* Of an order whose tasks have all failed. A failure that may have been charged comes first: the client must not order again by itself. */
static struct openai_failure order_failure(const struct order *order)
{
    for (size_t i = 0; i < order->count; i++) {
        const struct openai_failure failure = part_failure(&order->parts[i]);

        if (strcmp(failure.charged, "no") != 0)
            return failure;
    }
    return part_failure(&order->parts[0]);
}

static void order_fail(struct order *order, const struct openai_failure *failure)
{
    if (order->state != ORDER_OPEN) {
        order_report_answered(order);
        openai_failure_respond(order->exchange, failure);
        order_close(order, OPENAI_FAILED);
    } else if (order->stream) {
        order_stream_fail(order, failure);
    } else {
        order_cut(order);
    }
}

static void finish(struct order *order)
{
    struct openai_result results[OPENAI_N_MAX];
    const struct openai_answer answer = {results, order->count, order->format, order->created_ms, order->png};

    for (size_t i = 0; i < order->count; i++)
        results[i] = (struct openai_result){order->parts[i].done, part_failure(&order->parts[i])};
    if (!openai_answer_images(&answer)) {
        const struct openai_failure failure = order_failure(order);

        order_fail(order, &failure);
    } else if (order->stream) {
        order_stream_finish(order);
    } else {
        order_json_finish(order, &answer);
    }
}

bool order_has_ended(const struct order *order)
{
    for (size_t i = 0; i < order->count; i++)
        if (!order->parts[i].ended)
            return false;
    return true;
}

void order_check_ended(struct order *order)
{
    bool is_waiting = order->is_encoded || encoding_is_busy(order->encoding);

    if ((order->state == ORDER_HELD || order->state == ORDER_OPEN) && order_has_ended(order) && !is_waiting)
        finish(order);
}

/* -- pictures as base64 */

/* Unless the picture is gone, the repeated request finds the same tasks, and tries again. */
static void order_on_unreadable(bool is_gone, void *arg)
{
    static const char words[] = "The storage does not have the picture: it was deleted, or was never stored there.";
    const struct openai_failure gone = {.code = problem_code(PROBLEM_PICTURE_NOT_FOUND), .message = words};
    struct order *order = arg;

    if (is_gone && !encoding_is_writing(order->encoding))
        order_fail(order, &gone);
    else if (order->state == ORDER_OPEN)
        order_cut(order);
    else
        order_refuse(order, PROBLEM_STORAGE_UNAVAILABLE, 0);
}

bool order_encode(struct order *order, struct buf *before, const json_t *image, struct buf *after)
{
    int err = encoding_add(order->encoding, before, openai_image_is_inline(image) ? NULL : image, after);

    buf_deinit(before);
    buf_deinit(after);
    if (err)
        order_on_unreadable(err == ERR_NOT_FOUND, order);
    return !err;
}

static void order_on_stored(void *arg)
{
    struct order *order = arg;

    if (order->state == ORDER_HELD)
        order_begin_answer(order);
}

static void order_on_encoded(void *arg)
{
    struct order *order = arg;

    if (order->is_encoded)
        order_end_answer(order, order_outcome(order));
    else
        order_check_ended(order);
}

static void order_on_room(void *arg)
{
    encoding_on_room(((struct order *)arg)->encoding);
}

/* -- opening */

static bool create_encoding(struct order *order)
{
    const struct encoding_events events = {order_on_stored, order_on_encoded, order_on_unreadable, order};

    if (order->format != OPENAI_B64_JSON || !order->orders->encodings)
        return true;
    order->encoding = encoding_create(order->orders->encodings, order->exchange, !order->stream, &events);
    return order->encoding;
}

static struct order *create(struct orders *orders, struct http_exchange *exchange, const struct order_request *request)
{
    struct order *order = calloc(1, sizeof(*order) + request->count * sizeof(order->parts[0]));

    if (!order)
        return NULL;
    order->orders = orders;
    order->client = request->client;
    order->exchange = exchange;
    order->state = ORDER_ASKING;
    order->format = request->format;
    order->stream = request->stream;
    order->transparent = request->transparent;
    order->png = request->png;
    order->endpoint = request->endpoint;
    order->http_1_0 = http_exchange_request(exchange)->minor == 0;
    order->identity = *request->identity;
    order->count = request->count;
    if (!create_encoding(order)) {
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < order->count; i++)
        part_init(&order->parts[i], order, request->submission[i]);
    return order;
}

static void destroy_submissions(const struct order_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        submission_destroy(request->submission[i]);
}

void order_open(struct orders *orders, struct http_exchange *exchange, const struct order_request *request)
{
    enum problem problem = orders->draining ? PROBLEM_DRAINING : PROBLEM_STORE_UNAVAILABLE;
    bool is_ready = !orders->draining && redis_is_ready(orders->config.commands) && hub_is_ready(orders->config.hub);
    bool is_counted = is_ready && client_enter_stream(request->client);
    struct order *order = is_counted ? create(orders, exchange, request) : NULL;

    if (!order) {
        if (is_ready)
            problem = is_counted ? PROBLEM_INTERNAL : PROBLEM_TOO_MANY_STREAMS;
        if (is_counted)
            client_leave_stream(request->client);
        destroy_submissions(request);
        orders_count(orders, request->endpoint, OPENAI_REFUSED);
        respond_problem(exchange, problem, NULL);
        return;
    }
    TAILQ_INSERT_TAIL(&orders->all, order, link);
    timeouts_start(orders->answers, &order->timer);
    http_exchange_on_closed(exchange, order_on_closed, order);
    http_exchange_on_room(exchange, order_on_room);
    http_exchange_close_on_fin(exchange); /* a client that has left may repeat its request at once */
    order_submit(order);
}
