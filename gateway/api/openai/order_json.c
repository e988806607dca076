#include "gateway/api/openai/order_state.h"

#include "common/base/buf.h"
#include "gateway/api/openai/answer.h"
#include "gateway/api/openai/encoding.h"
#include "gateway/response/respond.h"

static void respond_answer(struct order *order, const struct buf *body)
{
    if (order->state != ORDER_OPEN) {
        order_report_answered(order);
        respond_json(order->exchange, 200, body);
        order_close(order, order_outcome(order));
    } else if (order_write(order, body)) {
        order_end_answer(order, order_outcome(order));
    }
}

/* The answer is written by the encoding, which begins when all pictures are stored. */
static void encode_answer(struct order *order, const struct openai_answer *answer)
{
    const struct json_t *image, *next = openai_answer_image(answer, 0);
    struct buf before, after;

    order->is_encoded = true;
    for (size_t i = 0; (image = next); i++) {
        next = openai_answer_image(answer, i + 1);
        buf_init(&before, ORDER_ANSWER_MAX);
        buf_init(&after, ORDER_ANSWER_MAX);
        if (!i)
            openai_answer_begin(&before, answer);
        openai_answer_split_image(&before, &after, image, i);
        if (!next)
            openai_answer_end(&after, answer);
        if (!order_encode(order, &before, image, &after))
            return;
    }
    encoding_start(order->encoding);
}

void order_json_finish(struct order *order, const struct openai_answer *answer)
{
    struct buf body;

    if (order->encoding) {
        encode_answer(order, answer);
        return;
    }
    buf_init(&body, ORDER_ANSWER_MAX);
    openai_answer_write(&body, answer);
    respond_answer(order, &body);
    buf_deinit(&body);
}
