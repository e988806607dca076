#include "gateway/api/openai/order_state.h"

#include <jansson.h>

#include "common/base/buf.h"
#include "gateway/api/openai/answer.h"
#include "gateway/api/openai/encoding.h"

static struct openai_event event_of(const struct part *part)
{
    const struct order *order = part->order;

    return (struct openai_event){order->format,
                                 order->created_ms,
                                 (int)(part - order->parts),
                                 order->transparent,
                                 order->endpoint == OPENAI_EDITS,
                                 order->png};
}

/* False: the order is closed. */
static bool send_image(struct part *part, const json_t *image)
{
    const struct openai_event event = event_of(part);
    struct order *order = part->order;
    struct buf before, after;
    bool is_open = true;

    buf_init(&before, ORDER_ANSWER_MAX);
    buf_init(&after, ORDER_ANSWER_MAX);
    if (!order->encoding || openai_image_is_inline(image))
        openai_event_write_image(&before, &event, image);
    else
        openai_event_split_image(&before, &after, &event, image);
    if (order->encoding)
        return order_encode(order, &before, image, &after);
    is_open = order_write(order, &before);
    buf_deinit(&before);
    return is_open;
}

void order_stream_images(struct part *part, const json_t *images)
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

/* {"index":0,"image":{"url":...,"size":...}} as an element of generated_images. */
void order_stream_event(struct part *part, const json_t *data)
{
    json_t *image = json_object_get(data, "image"), *images = NULL;

    if (image && !json_object_set(image, "index", json_object_get(data, "index")))
        images = json_pack("[O]", image);
    order_stream_images(part, images);
    json_decref(images);
}

void order_stream_finish(struct order *order)
{
    struct buf bytes;

    buf_init(&bytes, ORDER_ANSWER_MAX);
    for (size_t i = 0; i < order->count; i++) {
        const struct openai_event event = event_of(&order->parts[i]);
        const struct openai_failure failure = part_failure(&order->parts[i]);

        if (!order->parts[i].done)
            openai_event_write_failed(&bytes, &event, &failure);
    }
    if (order_write(order, &bytes))
        order_end_answer(order, order_outcome(order));
    buf_deinit(&bytes);
}

void order_stream_fail(struct order *order, const struct openai_failure *failure)
{
    struct buf bytes;

    buf_init(&bytes, ORDER_ANSWER_MAX);
    openai_event_write_error(&bytes, failure);
    if (order_write(order, &bytes))
        order_end_answer(order, OPENAI_FAILED);
    buf_deinit(&bytes);
}
