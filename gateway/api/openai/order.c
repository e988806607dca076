#include "gateway/api/openai/order.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/timeouts.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "common/task/task.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/openai/answer.h"
#include "gateway/api/openai/encoding.h"
#include "gateway/api/openai/error.h"
#include "gateway/api/openai/task_end.h"
#include "gateway/response/respond.h"
#include "gateway/response/spending.h"
#include "gateway/streams/hub.h"
#include "gateway/streams/watch.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/submit.h"

enum {
    ANSWER_WITHIN_MS = 900,         /* a client gets a 503 within a second if Redis does not reply */
    ANSWER_MAX = 256 * 1024 * 1024, /* bytes; images may be in it */
    TASKS_HEADER_MAX = OPENAI_N_MAX * (TASK_ID_MAX + 2) + 1,
};

enum order_state { ORDER_ASKING, ORDER_HELD, ORDER_OPEN, ORDER_CLOSED };

/* One task of the order. */
struct part {
    struct viewer viewer;
    struct order *order;
    struct submission *submission;
    bool ended, has_image;
    unsigned sent;  /* bits of the images that the stream has */
    json_t *done;   /* `data` of its done event */
    json_t *failed; /* `data` of its error event */
};

struct order {
    TAILQ_ENTRY(order) link; /* in orders->all */
    struct orders *orders;
    struct client *client;
    struct http_exchange *exchange; /* NULL once it is answered or closed */
    struct timeout timer;           /* ASKING: answers; HELD: opens; OPEN: heartbeats */
    enum order_state state;
    enum openai_format format;
    bool stream, transparent, http_1_0;
    enum openai_endpoint endpoint;
    struct order_identity identity;
    struct submit_call *submitting; /* ASKING: SUBMIT_ORDER has not answered */
    bool has_tasks;                 /* they exist, or may exist, and what becomes of the answer is not yet reported */
    int64_t created_ms;             /* of the first task */
    struct encoding *encoding;      /* NULL unless the format is b64_json */
    bool is_encoded;                /* the encoding has the whole answer */
    struct loop_deferred deferred;
    size_t count;
    struct part parts[];
};

TAILQ_HEAD(all_orders, order);

struct orders {
    struct loop *loop;
    struct orders_config config;
    struct timeouts *answers, *holds, *heartbeats;
    struct encodings *encodings; /* NULL without a storage */
    struct all_orders all;
    bool draining;
};

void orders_count(const struct orders *orders, enum openai_endpoint endpoint, enum openai_outcome outcome)
{
    metrics_add(orders->config.metrics, SAMPLE(METRIC_OPENAI_REQUESTS, endpoint, outcome), 1);
}

/* -- closing */

static void free_order(void *arg)
{
    struct order *order = arg;

    for (size_t i = 0; i < order->count; i++) {
        submission_destroy(order->parts[i].submission);
        json_decref(order->parts[i].done);
        json_decref(order->parts[i].failed);
    }
    free(order);
}

static struct timeouts *timeouts_of(const struct order *order)
{
    const struct orders *orders = order->orders;

    return order->state == ORDER_ASKING ? orders->answers
           : order->state == ORDER_HELD ? orders->holds
                                        : orders->heartbeats;
}

static void part_leave(struct part *part)
{
    struct watch *watch = part->viewer.watch;

    if (!watch)
        return;
    if (part->viewer.live)
        watch_remove_live(watch, &part->viewer);
    hub_leave(part->order->orders->config.hub, &part->viewer);
}

/* An order that closes without its answer. */
static void report_unanswered(struct order *order)
{
    if (order->has_tasks)
        repeats_report(&order->orders->config.repeats, &order->identity, ORDER_UNANSWERED);
    order->has_tasks = false;
}

/* The exchange was answered, or its client is gone. */
static void order_close(struct order *order, enum openai_outcome outcome)
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

static void refuse(struct order *order, enum problem problem, int64_t wait_ms)
{
    respond_problem_after(order->exchange, problem, wait_ms);
    order_close(order, OPENAI_REFUSED);
}

/* A cut that no client takes for the end: no last chunk, or in HTTP/1.0 a reset. */
static void cut(struct order *order)
{
    http_abort(order->exchange, order->http_1_0 ? HTTP_ABORT_RST : HTTP_ABORT_FIN);
    order_close(order, OPENAI_CUT);
}

/* -- the answer is about to be sent */

struct answer {
    const struct repeats *repeats; /* borrowed: the server, which owns all deliveries, is destroyed first */
    struct order_identity identity;
};

static void answer_on_delivered(bool whole, void *arg)
{
    struct answer *answer = arg;

    if (!whole)
        repeats_report(answer->repeats, &answer->identity, ORDER_UNANSWERED);
    free(answer);
}

/* Reported at once, since a client may repeat its request before it is certain that the answer has arrived. */
static void report_answered(struct order *order)
{
    const struct repeats *repeats = &order->orders->config.repeats;
    struct answer *answer = malloc(sizeof(*answer));

    repeats_report(repeats, &order->identity, ORDER_ANSWERED);
    order->has_tasks = false;
    if (!answer)
        return;
    *answer = (struct answer){repeats, order->identity};
    http_exchange_on_delivered(order->exchange, answer_on_delivered, answer);
}

/* -- what has become of the tasks */

/* At the first image. Pictures that are still to be read from the storage can fail, as long as possible with a status. */
static bool opens_early(const struct order *order)
{
    return order->stream || !order->encoding;
}

static bool has_ended(const struct order *order)
{
    for (size_t i = 0; i < order->count; i++)
        if (!order->parts[i].ended)
            return false;
    return true;
}

static const char *event_text(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : fallback;
}

static struct openai_failure failure_of(const struct part *part)
{
    if (part->done)
        return (struct openai_failure){.code = problem_code(PROBLEM_ARK_NO_IMAGES),
                                       .message = problem_title(PROBLEM_ARK_NO_IMAGES),
                                       .charged = event_text(part->done, "charged", "unknown")};
    return (struct openai_failure){.code = event_text(part->failed, "code", problem_code(PROBLEM_TASK_NOT_FOUND)),
                                   .message = event_text(part->failed, "error", problem_title(PROBLEM_TASK_NOT_FOUND)),
                                   .charged = event_text(part->failed, "charged", "unknown"),
                                   .retryable = json_is_true(json_object_get(part->failed, "retryable"))};
}

static struct openai_event event_of(const struct part *part)
{
    const struct order *order = part->order;

    return (struct openai_event){order->format, order->created_ms, (int)(part - order->parts), order->transparent,
                                 order->endpoint == OPENAI_EDITS};
}

/* -- OPEN: the head is sent */

/* A picture cannot be read. The repeated request finds the same tasks, and tries again. */
static void order_on_unreadable(void *arg)
{
    struct order *order = arg;

    if (order->state == ORDER_OPEN)
        cut(order);
    else
        refuse(order, PROBLEM_STORAGE_UNAVAILABLE, 0);
}

/* False: the order is closed. */
static bool write_bytes(struct order *order, const struct buf *bytes)
{
    if (buf_error(bytes)) {
        cut(order);
        return false;
    }
    http_stream_write(order->exchange, bytes->data, bytes->len);
    return true;
}

/* Takes the content of both texts. False: the order is closed. */
static bool encode(struct order *order, struct buf *before, const json_t *image, struct buf *after)
{
    int err = encoding_add(order->encoding, before, openai_image_is_inline(image) ? NULL : image, after);

    buf_deinit(before);
    buf_deinit(after);
    if (err)
        order_on_unreadable(order);
    return !err;
}

/* False: the order is closed. */
static bool send_image(struct part *part, const json_t *image)
{
    const struct openai_event event = event_of(part);
    struct order *order = part->order;
    struct buf before, after;
    bool is_open = true;

    buf_init(&before, ANSWER_MAX);
    buf_init(&after, ANSWER_MAX);
    if (!order->encoding || openai_image_is_inline(image))
        openai_event_write_image(&before, &event, image);
    else
        openai_event_split_image(&before, &after, &event, image);
    if (order->encoding)
        return encode(order, &before, image, &after);
    is_open = write_bytes(order, &before);
    buf_deinit(&before);
    return is_open;
}

static void send_images(struct part *part, const json_t *images)
{
    const json_t *image;
    size_t i;

    json_array_foreach (images, i, image) {
        unsigned bit = 1u << (json_integer_value(json_object_get(image, "index")) & 31);

        if (part->sent & bit)
            continue;
        part->sent |= bit;
        if (!send_image(part, image))
            return;
    }
}

static void order_begin_answer(struct order *order)
{
    timeouts_cancel(order->orders->holds, &order->timer);
    order->state = ORDER_OPEN;
    timeouts_start(order->orders->heartbeats, &order->timer);
    http_add_header(order->exchange, "Cache-Control", "no-store, no-transform");
    http_add_header(order->exchange, "X-Accel-Buffering", "no");
    http_stream_begin(order->exchange, 200, order->stream ? "text/event-stream; charset=utf-8" : "application/json");
}

static void order_on_hold_timeout(struct timeout *timer, void *unused)
{
    struct order *order = container_of(timer, struct order, timer);

    (void)unused;
    order_begin_answer(order);
    http_stream_write(order->exchange, order->stream ? ": waiting\n" : " ", order->stream ? strlen(": waiting\n") : 1);
}

static void order_on_heartbeat(struct timeout *timer, void *unused)
{
    struct order *order = container_of(timer, struct order, timer);
    const char *sign = order->stream ? ": keep-alive\n" : " ";

    (void)unused;
    timeouts_start(order->orders->heartbeats, &order->timer);
    if (!encoding_is_writing(order->encoding) && !http_stream_is_behind(order->exchange))
        http_stream_write(order->exchange, sign, strlen(sign));
}

/* -- the end */

static enum openai_outcome outcome_of(const struct order *order)
{
    size_t done = 0;

    for (size_t i = 0; i < order->count; i++)
        done += json_array_size(json_object_get(order->parts[i].done, "generated_images")) != 0;
    return !done ? OPENAI_FAILED : done < order->count ? OPENAI_PARTIAL : OPENAI_DONE;
}

static void end_stream(struct order *order)
{
    report_answered(order);
    http_stream_end(order->exchange);
    order_close(order, outcome_of(order));
}

static void respond_answer(struct order *order, const struct buf *body)
{
    if (order->state != ORDER_OPEN) {
        report_answered(order);
        respond_json(order->exchange, 200, body);
        order_close(order, outcome_of(order));
    } else if (write_bytes(order, body)) {
        end_stream(order);
    }
}

/* All tasks have failed. The first one speaks for all. */
static void order_fail(struct order *order)
{
    const struct openai_failure failure = failure_of(&order->parts[0]);
    struct buf bytes;

    if (order->state != ORDER_OPEN) {
        report_answered(order);
        openai_failure_respond(order->exchange, &failure);
        order_close(order, OPENAI_FAILED);
    } else if (order->stream) {
        buf_init(&bytes, ANSWER_MAX);
        openai_event_write_error(&bytes, &failure);
        if (write_bytes(order, &bytes))
            end_stream(order);
        buf_deinit(&bytes);
    } else {
        cut(order);
    }
}

static void finish_stream(struct order *order)
{
    struct buf bytes;

    buf_init(&bytes, ANSWER_MAX);
    for (size_t i = 0; i < order->count; i++) {
        const struct openai_event event = event_of(&order->parts[i]);
        const struct openai_failure failure = failure_of(&order->parts[i]);

        if (!order->parts[i].done)
            openai_event_write_failed(&bytes, &event, &failure);
    }
    if (write_bytes(order, &bytes))
        end_stream(order);
    buf_deinit(&bytes);
}

/* The answer is written by the encoding, which begins when all pictures are stored. */
static void encode_answer(struct order *order, const struct openai_answer *answer)
{
    const json_t *image, *next = openai_answer_image(answer, 0);
    struct buf before, after;

    order->is_encoded = true;
    for (size_t i = 0; (image = next); i++) {
        next = openai_answer_image(answer, i + 1);
        buf_init(&before, ANSWER_MAX);
        buf_init(&after, ANSWER_MAX);
        if (!i)
            openai_answer_begin(&before, answer);
        openai_answer_split_image(&before, &after, image, i);
        if (!next)
            openai_answer_end(&after, answer);
        if (!encode(order, &before, image, &after))
            return;
    }
    encoding_start(order->encoding);
}

static void finish(struct order *order)
{
    struct openai_result results[OPENAI_N_MAX];
    struct openai_answer answer = {results, order->count, order->format, order->created_ms};
    struct buf body;

    for (size_t i = 0; i < order->count; i++)
        results[i] = (struct openai_result){order->parts[i].done, failure_of(&order->parts[i])};
    if (!openai_answer_images(&answer)) {
        order_fail(order);
    } else if (order->stream) {
        finish_stream(order);
    } else if (order->encoding) {
        encode_answer(order, &answer);
    } else {
        buf_init(&body, ANSWER_MAX);
        openai_answer_write(&body, &answer);
        respond_answer(order, &body);
        buf_deinit(&body);
    }
}

/* -- what the events of a task say */

static void log_unreadable(const struct part *part, const struct task_event *event)
{
    log_error("openai", "cannot read an event", "task=%s n=%lld", part->submission->full_id, (long long)event->n);
}

/* `data` of an event; NULL: it cannot be read. */
static json_t *data_of(const struct part *part, const struct task_event *event)
{
    json_t *root = NULL, *data;

    if (json_text_read(event->json, event->json_len, 0, &root, NULL))
        log_unreadable(part, event);
    data = json_incref(json_object_get(root, "data"));
    json_decref(root);
    return data;
}

/* {"index":0,"image":{"url":...,"size":...}} as an element of generated_images. */
static void send_image_of_event(struct part *part, const struct task_event *event)
{
    json_t *data = data_of(part, event), *image = json_object_get(data, "image"), *images = NULL;

    if (image && !json_object_set(image, "index", json_object_get(data, "index")))
        images = json_pack("[O]", image);
    send_images(part, images);
    json_decref(images);
    json_decref(data);
}

/* The first image opens the order: from here on it succeeds. Only streams show it now, so the others do not parse it. */
static void take_image(struct part *part, const struct task_event *event)
{
    struct order *order = part->order;

    part->has_image = true;
    if (order->state == ORDER_HELD && opens_early(order))
        order_begin_answer(order);
    if (order->state == ORDER_OPEN && order->stream)
        send_image_of_event(part, event);
}

static void take_end(struct part *part, const struct task_event *event)
{
    json_t *data = openai_task_end(event->json, event->json_len);

    part->ended = true;
    if (!data)
        log_unreadable(part, event);
    if (event->type != EVENT_DONE) {
        part->failed = data;
        return;
    }
    part->done = data;
    if (!part->order->stream)
        return;
    if (part->order->state == ORDER_HELD)
        order_begin_answer(part->order);
    if (part->order->state == ORDER_OPEN)
        send_images(part, json_object_get(data, "generated_images"));
}

/* May close the order. */
static void take_event(struct part *part, const struct task_event *event)
{
    enum task_stage stage;

    if (task_event_is_final(event->type))
        take_end(part, event);
    else if (!task_event_stage(event, &stage) && stage == STAGE_IMAGE)
        take_image(part, event);
}

static struct part *part_of_viewer(struct viewer *viewer)
{
    return container_of(viewer, struct part, viewer);
}

static void part_on_subscribed(struct viewer *viewer)
{
    if (!viewer->live)
        viewer->asked_early = true;
}

static void finish_if_ended(struct order *order)
{
    bool is_waiting = order->is_encoded || encoding_is_busy(order->encoding);

    if ((order->state == ORDER_HELD || order->state == ORDER_OPEN) && has_ended(order) && !is_waiting)
        finish(order);
}

/* -- events of the encoding */

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
        end_stream(order);
    else
        finish_if_ended(order);
}

static void order_on_room(void *arg)
{
    encoding_on_room(((struct order *)arg)->encoding);
}

/* -- the viewer of a task */

static void part_deliver(struct viewer *viewer, const struct event_frame *frame)
{
    struct part *part = part_of_viewer(viewer);
    const struct task_event event = {frame->n, frame->type, frame->json, frame->json_len};

    if (frame->n <= viewer->last)
        return;
    viewer->last = frame->n;
    take_event(part, &event);
    finish_if_ended(part->order);
}

static void part_send_hint(struct viewer *viewer, const struct buf *frame)
{
    (void)viewer;
    (void)frame;
}

/* Redis has lost events. The log is delivered again; the stream has its images already. */
static void part_reset(struct viewer *viewer, int64_t epoch)
{
    viewer->epoch = epoch;
    viewer->last = 0;
}

static void part_end(struct viewer *viewer, enum viewer_end why)
{
    struct part *part = part_of_viewer(viewer);

    (void)why; /* whatever it is, no further event comes */
    part->ended = true;
    finish_if_ended(part->order);
}

static const struct viewer_callbacks part_callbacks = {
    .on_subscribed = part_on_subscribed,
    .deliver = part_deliver,
    .send_hint = part_send_hint,
    .reset = part_reset,
    .end = part_end,
};

/* -- ASKING */

/* The log so far. Its images are shown when the order is HELD or OPEN. */
static void part_take_log(struct part *part, const struct event_log *log)
{
    struct task_event event;

    if (!part->order->created_ms)
        part->order->created_ms = log->epoch;
    part->viewer.epoch = log->epoch;
    part->viewer.last = log->length;
    for (size_t i = 0; i < event_log_count(log); i++)
        if (!event_log_event(log, i, &event))
            take_event(part, &event);
}

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
        refuse(order, PROBLEM_DRAINING, 0);
        return;
    }
    if (has_image(order) && opens_early(order) && (order->stream || !has_ended(order)))
        order_begin_answer(order);
    for (size_t i = 0; i < order->count && order->state == ORDER_OPEN && order->stream; i++)
        send_images(&order->parts[i], json_object_get(order->parts[i].done, "generated_images"));
    finish_if_ended(order);
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

static void order_on_refused(struct order *order, const struct submit_result *result)
{
    /* After a conflict, a known order has tasks of other requests: options have changed. */
    if (result->outcome != SUBMIT_FAILED)
        order->has_tasks = order->identity.is_known && result->outcome != SUBMIT_CONFLICT;
    if (result->spending)
        spending_add_header(order->exchange, result->spending);
    refuse(order, submit_problem(result->outcome), result->day_left_ms);
}

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

static void order_on_submitted(const struct submit_result *results, void *arg);

/* Subscribes to the tasks, and submits them. May close the order. */
static void submit_tasks(struct order *order)
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
        refuse(order, PROBLEM_STORE_UNAVAILABLE, 0);
}

/* The request repeats an order. Nothing was created: this time it submits the tasks of that order. */
static void order_on_found(struct order *order, const char *order_id)
{
    if (!order_id || strlen(order_id) != ORDER_ID_SIZE - 1) {
        refuse(order, PROBLEM_STORE_UNAVAILABLE, 0);
        return;
    }
    memcpy(order->identity.id, order_id, ORDER_ID_SIZE);
    order->identity.is_known = true;
    metrics_add(order->orders->config.metrics, SAMPLE(METRIC_OPENAI_REPEATS), 1);
    for (size_t i = 0; i < order->count; i++) {
        part_leave(&order->parts[i]);
        order->parts[i].viewer.asked_early = false;
    }
    submit_tasks(order);
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

static void order_on_answer_timeout(struct timeout *timer, void *unused)
{
    (void)unused;
    refuse(container_of(timer, struct order, timer), PROBLEM_STORE_UNAVAILABLE, 0);
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
    order->endpoint = request->endpoint;
    order->http_1_0 = http_exchange_request(exchange)->minor == 0;
    order->identity = *request->identity;
    order->count = request->count;
    if (!create_encoding(order)) {
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < order->count; i++) {
        order->parts[i].order = order;
        order->parts[i].viewer.callbacks = &part_callbacks;
        order->parts[i].submission = request->submission[i];
    }
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
    submit_tasks(order);
}

/* -- all orders of a loop */

struct orders *orders_create(struct loop *loop, const struct orders_config *config)
{
    struct orders *orders = calloc(1, sizeof(*orders));

    if (!orders)
        return NULL;
    orders->loop = loop;
    orders->config = *config;
    TAILQ_INIT(&orders->all);
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
    free(orders);
    return NULL;
}

void orders_drain(struct orders *orders)
{
    struct order *order = TAILQ_FIRST(&orders->all);

    orders->draining = true;
    while (order) {
        struct order *next = TAILQ_NEXT(order, link);

        if (order->state == ORDER_HELD)
            refuse(order, PROBLEM_DRAINING, 0);
        else if (order->state == ORDER_OPEN)
            cut(order);
        order = next;
    }
}
