#include "gateway/api/openai/order_state.h"

#include <jansson.h>

#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/task/task_event.h"
#include "gateway/api/openai/task_end.h"
#include "gateway/streams/hub.h"
#include "gateway/tasks/event_log.h"

/* -- how it has ended */

static const char *event_text(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : fallback;
}

struct openai_failure part_failure(const struct part *part)
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

/* -- its events */

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

static void part_take_image(struct part *part, const struct task_event *event)
{
    json_t *data;

    part->has_image = true;
    if (!order_on_image(part->order))
        return;
    data = data_of(part, event);
    order_stream_event(part, data);
    json_decref(data);
}

/* After a reset, the end is delivered again. */
static void part_take_end(struct part *part, const struct task_event *event)
{
    json_t *data = openai_task_end(event->json, event->json_len);

    part->ended = true;
    if (!data)
        log_unreadable(part, event);
    json_decref(part->done);
    json_decref(part->failed);
    part->done = event->type == EVENT_DONE ? data : NULL;
    part->failed = event->type == EVENT_DONE ? NULL : data;
    if (part->done && part->order->stream && order_on_image(part->order))
        order_stream_images(part, json_object_get(data, "generated_images"));
}

/* May close the order. */
static void part_take_event(struct part *part, const struct task_event *event)
{
    enum task_stage stage;

    if (task_event_is_final(event->type))
        part_take_end(part, event);
    else if (!task_event_stage(event, &stage) && stage == STAGE_IMAGE)
        part_take_image(part, event);
}

/* The log so far. Its images are shown when the order is HELD or OPEN. */
void part_take_log(struct part *part, const struct event_log *log)
{
    struct task_event event;

    if (!part->order->created_ms)
        part->order->created_ms = log->epoch;
    part->viewer.epoch = log->epoch;
    part->viewer.last = log->length;
    for (size_t i = 0; i < event_log_count(log); i++)
        if (!event_log_event(log, i, &event))
            part_take_event(part, &event);
}

/* -- its viewer */

static struct part *part_of_viewer(struct viewer *viewer)
{
    return container_of(viewer, struct part, viewer);
}

static void part_on_subscribed(struct viewer *viewer)
{
    if (!viewer->live)
        viewer->asked_early = true;
}

static void part_deliver(struct viewer *viewer, const struct event_frame *frame)
{
    struct part *part = part_of_viewer(viewer);
    const struct task_event event = {frame->n, frame->type, frame->json, frame->json_len};

    if (frame->n <= viewer->last)
        return;
    viewer->last = frame->n;
    part_take_event(part, &event);
    order_check_ended(part->order);
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
    order_check_ended(part->order);
}

static const struct viewer_callbacks part_callbacks = {
    .on_subscribed = part_on_subscribed,
    .deliver = part_deliver,
    .send_hint = part_send_hint,
    .reset = part_reset,
    .end = part_end,
};

void part_init(struct part *part, struct order *order, struct submission *submission)
{
    *part = (struct part){.order = order, .submission = submission, .viewer = {.callbacks = &part_callbacks}};
}

void part_leave(struct part *part)
{
    struct watch *watch = part->viewer.watch;

    if (!watch)
        return;
    if (part->viewer.live)
        watch_remove_live(watch, &part->viewer);
    hub_leave(part->order->orders->config.hub, &part->viewer);
}

void part_deinit(struct part *part)
{
    submission_destroy(part->submission);
    json_decref(part->done);
    json_decref(part->failed);
}
