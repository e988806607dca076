/* A plan from Redis: it is refused, or it is written as the same plan again, and what it costs is no negative number. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/models/plan_text.h"
#include "common/models/price.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int claim)
{
    if (!claim)
        abort();
}

static void check_price(const struct plan *plan)
{
    const char *const sizes[] = {"2048x2048", NULL, "x", "99999x99999"};
    const struct spent spent = {
        .sizes = sizes, .images = 4, .lost_images = 3, .charged_calls = INT64_MAX, .unknown_calls = 1};
    struct cost cost = price_spent(plan, TASK_URLS_MAX, &spent), worst = price_worst(plan, TASK_URLS_MAX, INT64_MAX);

    must(cost.known == (plan->price.tier_count > 0) && cost.micros >= 0 && worst.micros >= 0);
    must(cost.estimated == cost.known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stored_plan first = {.root = NULL}, second = {.root = NULL};
    struct buf written, again;
    char *text = malloc(size + !size); /* without a NUL after it */
    int err;

    must(text != NULL);
    if (size)
        memcpy(text, data, size);
    buf_init(&written, 1 << 20);
    buf_init(&again, 1 << 20);
    err = plan_read(text, size, &first);
    must(err == 0 || err == ERR_SYNTAX);
    if (!err) {
        plan_write(&written, &first.plan);
        must(!buf_error(&written) && !plan_read(buf_text(&written), written.len, &second));
        plan_write(&again, &second.plan);
        must(!strcmp(buf_text(&written), buf_text(&again)));
        check_price(&first.plan);
    }
    stored_plan_deinit(&first);
    stored_plan_deinit(&second);
    buf_deinit(&written);
    buf_deinit(&again);
    free(text);
    return 0;
}
