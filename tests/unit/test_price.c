#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/models/plan.h"
#include "common/models/price.h"
#include "tests/support/builtin_catalogue.h"

#define FOUR   "doubao-seedream-4-0-250828"
#define FOUR_5 "doubao-seedream-4-5-251128"
#define LITE   "doubao-seedream-5-0-260128"
#define PRO    "doubao-seedream-5-0-pro-260628"
#define FLASH  "doubao-seedream-5-0-flash-260915"
#define FIVE_5 "doubao-seedream-5-5-261028"
#define T2I    "doubao-seedream-3-0-t2i-250415"
#define EP     "ep-20260101120000-abcde"

static void make(struct plan *plan, const char *model, const char *size, int max_images, size_t references, bool layers)
{
    static const struct request_defaults defaults = {.model = FOUR, .size = "2K", .max_images = 3};
    static char url[] = "https://example.com/1.png";
    struct task_spec spec = {.model = (char *)(uintptr_t)model,
                             .size = (char *)(uintptr_t)size,
                             .max_images = max_images,
                             .layers_given = layers,
                             .layers = layers};

    for (; spec.url_count < references; spec.url_count++)
        spec.urls[spec.url_count] = url;
    (void)plan_make(plan, &defaults, builtin_catalogue(), &spec);
}

/* clang-format off */
static const struct { const char *name, *model, *size; int images; size_t references; bool layers; int64_t calls, want; } worst[] = { /* want -1: not known */
    { "one image of 4.0",                             FOUR,   "2K",        1,  1,  false, 1, 30000 },
    { "a group of 4.0",                               FOUR,   "4K",        14, 1,  false, 1, 14 * 30000 },
    { "the default group, called twice",              FOUR,   NULL,        0,  2,  false, 2, 2 * 3 * 30000 },
    { "a group of 4.5",                               FOUR_5, "4K",        5,  2,  false, 1, 5 * 40000 },
    { "a group of lite",                              LITE,   "3K",        4,  2,  false, 1, 4 * 35000 },
    { "flash",                                        FLASH,  "2K",        0,  10, false, 1, 18000 },
    { "pro in a small size in pixels",                PRO,    "1424x800",  0,  1,  false, 1, 45000 },
    { "pro at the limit",                             PRO,    "2610x1000", 0,  1,  false, 1, 45000 },
    { "pro above the limit",                                 PRO,    "2611x1000", 0,  1,  false, 1, 90000 },
    { "a keyword counts as the most expensive size", PRO,    "1K",        0,  1,  false, 1, 90000 },
    { "pro with ten references, the first one free",  PRO,    "2K",        0,  10, false, 1, 90000 + 9 * 3000 },
    { "two calls pay their references twice",         PRO,    "1024x1024", 0,  3,  false, 2, 2 * (45000 + 2 * 3000) },
    { "layers of pro",                                PRO,    "2K",        0,  1,  true,  1, 17 * 90000 },
    { "5.5 at the limit, with a reference",           FIVE_5, "1612x1612", 0,  1,  false, 1, 20000 + 8000 },
    { "5.5 at 2,601,124 pixels",                      FIVE_5, "1612x1613", 0,  0,  false, 1, 20000 },
    { "5.5 above the limit",                                 FIVE_5, "1613x1613", 0,  0,  false, 1, 35000 },
    { "layers of 5.5",                                FIVE_5, NULL,        0,  1,  true,  1, 100 * 35000 + 8000 },
    { "no call",                                      PRO,    "2K",        0,  5,  false, 0, 0 },
    { "a model without a price",                      T2I,    "1024x1024", 0,  0,  false, 1, -1 },
    { "a model that is not listed",                   EP,     "2K",        1,  1,  false, 1, -1 },
    { "more calls than the maximum",                    FOUR,   "2K",        1,  1,  false, INT64_MAX, 10000 * INT64_C(30000) },
};
/* clang-format on */

static void maximum_cost_of_a_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(worst); i++) {
        struct plan plan;
        struct cost cost;

        print_message("  %s\n", worst[i].name);
        make(&plan, worst[i].model, worst[i].size, worst[i].images, worst[i].references, worst[i].layers);
        cost = price_calls(&plan.tariff, worst[i].calls);
        assert_int_equal(cost.known, worst[i].want >= 0);
        assert_int_equal(cost.micros, worst[i].want >= 0 ? worst[i].want : 0);
        assert_false(cost.estimated);
    }
}

enum { SIZES_MAX = 4 };

/* clang-format off */
static const struct { const char *name, *model, *size; size_t references; const char *sizes[SIZES_MAX]; int images; int64_t made, missing; const char *want; } calls[] = {
    { "three images of 4.0",                  FOUR,   "2K", 2, {"2048x2048", "2304x1728", "2496x1664"}, 3, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.09,\"estimated\":false}" },
    { "a failed slot is free",                LITE,   "2K", 2, {"2048x2048", "2048x2048"}, 2, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.07,\"estimated\":false}" },
    { "pro: priced by the image's size",                PRO,    "1K", 1, {"1024x1024"}, 1, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.045,\"estimated\":false}" },
    { "pro: a large image",                   PRO,    "2K", 4, {"2048x2048"}, 1, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.099,\"estimated\":false}" },
    { "5.5 with two references",              FIVE_5, "1K", 2, {"1024x1024"}, 1, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.036,\"estimated\":false}" },
    { "layers of several sizes",              PRO,    "2K", 1, {"2048x2048", "512x512", "600x400"}, 3, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.18,\"estimated\":false}" },
    { "a size from the request only",     PRO,    "1024x1024", 1, {NULL}, 1, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.045,\"estimated\":false}" },
    { "an unknown size that decides the price", PRO,    "1K", 1, {""}, 1, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.09,\"estimated\":true}" },
    { "an unknown size with one price",          FOUR,   "2K", 1, {"?"}, 1, 0, 0,
      "{\"currency\":\"USD\",\"amount\":0.03,\"estimated\":false}" },
    { "a group that was cut off",                          FOUR,   "2K", 2, {"2048x2048"}, 1, 0, 2,
      "{\"currency\":\"USD\",\"amount\":0.09,\"estimated\":true}" },
    { "images that ARK counts",               FOUR,   "2K", 2, {NULL}, 0, 2, 0,
      "{\"currency\":\"USD\",\"amount\":0.06,\"estimated\":false}" },
    { "an image of pro that ARK counts",      PRO,    "2K", 3, {NULL}, 0, 1, 0,
      "{\"currency\":\"USD\",\"amount\":0.096,\"estimated\":true}" },
    { "no price",                             T2I,    NULL, 0, {"1024x1024"}, 1, 1, 1, "null" },
    { "negative counts",           FOUR,   "2K", 1, {NULL}, 0, -5, -1,
      "{\"currency\":\"USD\",\"amount\":0,\"estimated\":false}" },
};
/* clang-format on */

static void cost_of_a_finished_call(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, PRICE_TEXT_MAX);
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++) {
        struct cost cost = {.known = false};
        struct plan plan;

        print_message("  %s\n", calls[i].name);
        make(&plan, calls[i].model, calls[i].size, 0, calls[i].references, false);
        for (int k = 0; k < calls[i].images; k++)
            price_add_image(&cost, &plan.tariff, calls[i].sizes[k]);
        cost = price_call(&plan.tariff, &cost, calls[i].made, calls[i].missing);
        buf_clear(&out);
        price_write(&out, &cost, plan.tariff.currency);
        assert_string_equal(buf_text(&out), calls[i].want);
    }
    buf_deinit(&out);
}

static void no_call_costs_more_than_the_worst_case(void **state)
{
    static const char *const models[] = {FOUR, FOUR_5, LITE, PRO, FLASH, FIVE_5};
    static const char *const sizes[] = {"1K", "2K", "1024x1024", "2048x2048", NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(models); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(sizes); k++)
            for (size_t references = 0; references < 10; references++) {
                struct cost images = {.known = false};
                struct plan plan;
                const char *made;

                make(&plan, models[i], sizes[k], 0, references, false);
                made = plan.size && strchr(plan.size, 'x') ? plan.size : "4096x4096";
                for (int n = 0; n < plan.images; n++)
                    price_add_image(&images, &plan.tariff, made);
                images = price_call(&plan.tariff, &images, 0, 0);
                assert_true(images.known);
                assert_true(images.micros <= price_calls(&plan.tariff, 1).micros);
            }
}

static void a_cost_of_the_largest_amount_fits(void **state)
{
    struct cost cost = {.known = true, .micros = 10000 * (INT64_C(256) * MODEL_MICROS_MAX) + 1};
    struct buf out;

    (void)state;
    buf_init(&out, PRICE_TEXT_MAX);
    price_write(&out, &cost, "USD");
    assert_int_equal(buf_error(&out), 0);
    assert_string_equal(buf_text(&out), "{\"currency\":\"USD\",\"amount\":2560000000.000001,\"estimated\":false}");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maximum_cost_of_a_plan),
        cmocka_unit_test(cost_of_a_finished_call),
        cmocka_unit_test(no_call_costs_more_than_the_worst_case),
        cmocka_unit_test(a_cost_of_the_largest_amount_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
