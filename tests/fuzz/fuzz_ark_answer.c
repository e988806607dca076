/* Reads one answer twice, whole and in pieces, and compares the results.
 *
 * Input: a byte for the content type and the status, a byte for the length of the pieces, then the body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "worker/ark/answer.h"

enum { BODY_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_slot(const struct ark_slot *slot, void *arg)
{
    struct buf *out = arg;

    if (slot->url)
        buf_addf(out, "%d %s %s\n", slot->index, slot->url, slot->size ? slot->size : "");
    else
        buf_addf(out, "%d %s %s\n", slot->index, slot->code, slot->message);
}

static void add_result(struct buf *out, const struct ark_result *result)
{
    int seen = 0;

    for (int i = 0; i < ARK_SLOTS_MAX; i++)
        seen += result->seen[i];
    if (seen != result->images + result->failed || result->blank > result->failed || result->promised > result->blank)
        abort();
    buf_addf(out, "%d %d %d %d %d %d %d %d %d %d %s %s %s %s %s %s\n", result->images, result->failed, result->blank,
             result->promised, result->generated, result->has_tokens, result->stopped, result->is_job,
             result->completed, result->has_error, result->broke ? result->broke : "-", result->error.code,
             result->error.message, result->error.param, result->usage, result->request_id);
}

/* piece: 0 for the whole body at once. */
static void run(struct buf *out, const uint8_t *data, size_t len, uint8_t head, size_t piece)
{
    static const char *const types[] = {"application/json", "text/event-stream; charset=utf-8", "text/html", NULL};
    static const int statuses[] = {200, 400, 429, 503};
    struct ark_answer_setup setup = {
        .expected = 3, .max_bytes = BODY_MAX, .max_line = BODY_MAX, .on_slot = on_slot, .arg = out};
    struct ark_answer *answer = ark_answer_create(&setup);
    size_t step = piece ? piece : len;

    if (!answer)
        abort();
    ark_answer_head(answer, &(struct ark_head){.status = statuses[head / 4 % 4], .content_type = types[head % 4]});
    for (size_t at = 0; at < len; at += step)
        if (ark_answer_body(answer, (const char *)data + at, len - at < step ? len - at : step))
            break;
    add_result(out, ark_answer_end(answer, head & 16 ? "cut" : NULL));
    (void)ark_answer_destroy(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf whole, pieces;

    if (len < 2 || len > BODY_MAX)
        return 0;
    buf_init(&whole, BODY_MAX * 8);
    buf_init(&pieces, BODY_MAX * 8);
    run(&whole, data + 2, len - 2, data[0], 0);
    run(&pieces, data + 2, len - 2, data[0], (size_t)data[1] + 1);
    if (strcmp(buf_text(&whole), buf_text(&pieces)) != 0)
        abort();
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
