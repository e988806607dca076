/* A plan from Redis is refused, or is written as the same plan again. Its cost is never negative. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/models/plan_text.h"
#include "common/models/price.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_price(const struct tariff *tariff)
{
    const char *const sizes[] = {"2048x2048", NULL, "x", "99999x99999"};
    struct cost images = {.known = false}, call, calls = price_calls(tariff, INT64_MAX);

    for (int i = 0; i < 4; i++)
        price_add_image(&images, tariff, sizes[i]);
    call = price_call(tariff, &images, INT64_MAX, 3);
    must(call.known == (tariff->price.tier_count > 0) && call.micros >= 0 && calls.micros >= 0);
    must(call.estimated == call.known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stored_plan first = {.root = NULL}, second = {.root = NULL};
    struct buf written, again;
    char *text = malloc(size + !size); /* exact, not NUL-terminated */
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
        check_price(&first.plan.tariff);
    }
    stored_plan_deinit(&first);
    stored_plan_deinit(&second);
    buf_deinit(&written);
    buf_deinit(&again);
    free(text);
    return 0;
}
