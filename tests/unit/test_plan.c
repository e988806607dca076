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
#include "common/models/plan_text.h"
#include "tests/support/builtin_catalogue.h"

#define FOUR       "doubao-seedream-4-0-250828"
#define LITE       "doubao-seedream-5-0-260128"
#define PRO        "doubao-seedream-5-0-pro-260628"
#define FIVE_5     "doubao-seedream-5-5-261028"
#define T2I        "doubao-seedream-3-0-t2i-250415"
#define EDIT       "doubao-seededit-3-0-i2i-250628"
#define EP         "ep-20260101120000-abcde"
#define SIZE(text) .size = (char *)(uintptr_t)(text)
#define V          "\"catalogue\":\"V\""

/* `plain` is valid for 4.0. `rich` sets every parameter, so each model uses only a part of it. */
static const struct request_defaults plain = {.model = FOUR, .prompt = "", .size = "2K", .max_images = 3};
static const struct request_defaults rich = {.model = PRO,
                                             .prompt = "P",
                                             .size = "1.5K",
                                             .max_images = 15,
                                             .guidance_scale = 4,
                                             .watermark = true,
                                             .web_search = true,
                                             .output_format = TASK_PNG,
                                             .optimize_prompt = TASK_FAST,
                                             .background = TASK_TRANSPARENT};

/* Sizes in pixels that only some models take. */
static const struct request_defaults pixels = {.model = FOUR, .prompt = "", .size = "1024x1024", .max_images = 3};
static const struct request_defaults wide = {.model = FOUR, .prompt = "", .size = "4096x4096", .max_images = 3};
static const struct request_defaults narrow = {.model = FOUR, .prompt = "", .size = "8193x512", .max_images = 3};

#define P4(call)                                                                                                       \
    "\"price\":{\"call\":" call ",\"currency\":\"USD\",\"exact\":true,\"image\":30000,\"images\":[[0,30000]]}"
#define LITE_PRICE                                                                                                     \
    "\"price\":{\"call\":35000,\"currency\":\"USD\",\"exact\":true,\"image\":35000,\"images\":[[0,35000]]}"
#define PPRO(call, references)                                                                                         \
    "\"price\":{\"call\":" call                                                                                        \
    ",\"currency\":\"USD\",\"image\":90000,\"images\":[[2610000,45000],[0,90000]]" references "}"
#define P55                                                                                                            \
    "\"price\":{\"call\":3508000,\"currency\":\"USD\",\"image\":35000,\"images\":[[2601124,20000],[0,35000]],\"references\":8000}"

/* clang-format off */
static const struct { const char *name; const struct request_defaults *defaults; size_t references; struct task_spec spec; const char *want; } cases[] = {
    { "only references",                 &plain, 2, {.url_count = 0},
      "{" V ",\"images\":3,\"model\":\"" FOUR "\"," P4("90000") ",\"size\":\"2K\",\"stream\":true,\"watermark\":false}" },
    { "the client's values win",         &rich, 1, {.model = (char *)(uintptr_t)FOUR, SIZE("4K"), .max_images = 2, .watermark_given = true,
                                                    .prompt = (char *)(uintptr_t)"mine", .optimize_prompt = TASK_STANDARD, .seed_given = true, .seed = 7},
      "{" V ",\"images\":2,\"model\":\"" FOUR "\"," P4("60000") ",\"seed\":7,\"size\":\"4K\",\"stream\":true,\"watermark\":false}" },
    { "defaults that 4.0 does not have", &rich, 1, {.model = (char *)(uintptr_t)FOUR},
      "{" V ",\"images\":14,\"model\":\"" FOUR "\",\"optimize_prompt\":\"fast\"," P4("420000") ",\"prompt\":\"P\",\"stream\":true,\"watermark\":true}" },
    { "all defaults of pro",             &rich, 1, {.url_count = 0},
      "{\"background\":\"transparent\"," V ",\"images\":1,\"model\":\"" PRO "\",\"optimize_prompt\":\"fast\",\"output_format\":\"png\"," PPRO("90000", "")
      ",\"prompt\":\"P\",\"size\":\"1.5K\",\"watermark\":true}" },
    { "no default background for two",   &rich, 2, {.url_count = 0},
      "{" V ",\"images\":1,\"model\":\"" PRO "\",\"optimize_prompt\":\"fast\",\"output_format\":\"png\"," PPRO("93000", ",\"references\":3000")
      ",\"prompt\":\"P\",\"size\":\"1.5K\",\"watermark\":true}" },
    { "no default background in jpeg",   &rich, 1, {.output_format = TASK_JPEG},
      "{" V ",\"images\":1,\"model\":\"" PRO "\",\"optimize_prompt\":\"fast\"," PPRO("90000", "") ",\"prompt\":\"P\",\"size\":\"1.5K\",\"watermark\":true}" },
    { "the search of lite",              &rich, 14, {.model = (char *)(uintptr_t)LITE},
      "{" V ",\"images\":1,\"model\":\"" LITE "\",\"output_format\":\"png\"," LITE_PRICE ",\"prompt\":\"P\",\"stream\":true,\"watermark\":true,\"web_search\":true}" },
    { "layers of 5.5",                   &plain, 1, {.model = (char *)(uintptr_t)FIVE_5, .layers_given = true, .layers = true},
      "{" V ",\"images\":100,\"layers\":true,\"model\":\"" FIVE_5 "\"," P55 ",\"size\":\"2K\",\"watermark\":false}" },
    { "an old model without a price",    &rich, 0, {.model = (char *)(uintptr_t)T2I, SIZE("1024x1024"), .guidance_scale = 255},
      "{" V ",\"guidance_scale\":2.55,\"images\":1,\"model\":\"" T2I "\",\"prompt\":\"P\",\"size\":\"1024x1024\",\"watermark\":true}" },
    { "default pixels that the model takes", &pixels, 0, {.url_count = 0},
      "{" V ",\"images\":3,\"model\":\"" FOUR "\"," P4("90000") ",\"size\":\"1024x1024\",\"stream\":true,\"watermark\":false}" },
    { "too few default pixels",          &pixels, 14, {.model = (char *)(uintptr_t)LITE},
      "{" V ",\"images\":1,\"model\":\"" LITE "\"," LITE_PRICE ",\"stream\":true,\"watermark\":false}" },
    { "too many default pixels",         &wide, 0, {.model = (char *)(uintptr_t)PRO},
      "{" V ",\"images\":1,\"model\":\"" PRO "\"," PPRO("90000", "") ",\"watermark\":false}" },
    { "default pixels that are too narrow", &narrow, 0, {.max_images = 3},
      "{" V ",\"images\":3,\"model\":\"" FOUR "\"," P4("90000") ",\"stream\":true,\"watermark\":false}" },
    { "default pixels where there are none", &pixels, 1, {.model = (char *)(uintptr_t)EDIT},
      "{" V ",\"images\":1,\"model\":\"" EDIT "\",\"watermark\":false}" },
    { "default pixels of an endpoint id", &wide, 0, {.model = (char *)(uintptr_t)EP, .max_images = 1},
      "{" V ",\"images\":1,\"model\":\"" EP "\",\"size\":\"4096x4096\",\"watermark\":false}" },
    { "layers in the size of the reference", &plain, 1, {.model = (char *)(uintptr_t)FIVE_5, .layers_given = true, .layers = true, SIZE("auto")},
      "{" V ",\"images\":100,\"layers\":true,\"model\":\"" FIVE_5 "\"," P55 ",\"size\":\"auto\",\"watermark\":false}" },
    { "an endpoint id gets no defaults", &rich, 1, {.model = (char *)(uintptr_t)EP, .max_images = 1},
      "{" V ",\"images\":1,\"model\":\"" EP "\",\"prompt\":\"P\",\"watermark\":true}" },
    { "an endpoint id as requested",  &plain, 1, {.model = (char *)(uintptr_t)EP, .web_search_given = true, .web_search = true, .seed_given = true, .seed = -1},
      "{" V ",\"images\":3,\"model\":\"" EP "\",\"size\":\"2K\",\"stream\":true,\"watermark\":false,\"web_search\":true}" },
};
/* clang-format on */

static void make(struct plan *plan, size_t i)
{
    static char url[] = "https://example.com/1.png";
    struct task_spec spec = cases[i].spec;

    for (spec.url_count = 0; spec.url_count < cases[i].references; spec.url_count++)
        spec.urls[spec.url_count] = url;
    (void)plan_make(plan, cases[i].defaults, builtin_catalogue(), &spec);
    assert_string_equal(plan->catalogue, catalogue_version(builtin_catalogue()));
}

static void resolves_every_parameter(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct plan plan;

        print_message("  %s\n", cases[i].name);
        make(&plan, i);
        plan.catalogue = "V";
        buf_clear(&out);
        plan_write(&out, &plan);
        assert_string_equal(buf_text(&out), cases[i].want);
    }
    buf_deinit(&out);
}

static void reads_back_a_written_plan(void **state)
{
    struct buf first, second;

    (void)state;
    buf_init(&first, 4096);
    buf_init(&second, 4096);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct stored_plan stored;
        struct plan plan;

        print_message("  %s\n", cases[i].name);
        make(&plan, i);
        buf_clear(&first);
        buf_clear(&second);
        plan_write(&first, &plan);
        assert_int_equal(plan_read(buf_text(&first), first.len, &stored), 0);
        plan_write(&second, &stored.plan);
        assert_string_equal(buf_text(&first), buf_text(&second));
        stored_plan_deinit(&stored);
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

static void a_webhook_is_the_last_member(void **state)
{
    static const char tail[] = ",\"watermark\":false,\"webhook\":{\"events\":\"start final\",\"generation\":2,"
                               "\"url\":\"https://a.example/?x=1\"}}";
    struct stored_plan stored;
    struct plan plan;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    make(&plan, 0);
    plan.catalogue = "V";
    plan.webhook = (struct plan_webhook){"https://a.example/?x=1", TASK_ON_START | TASK_ON_FINAL, 2};
    plan_write(&out, &plan);
    assert_true(out.len > strlen(tail));
    assert_string_equal(buf_text(&out) + out.len - strlen(tail), tail);
    assert_int_equal(plan_read(buf_text(&out), out.len, &stored), 0);
    assert_null(stored.plan.webhook.url);
    stored_plan_deinit(&stored);
    buf_deinit(&out);
}

#define PLAN(members) "{\"catalogue\":\"V\",\"images\":1,\"model\":\"m\",\"watermark\":false" members "}"
#define PRICE(text)   PLAN(",\"price\":" text)
#define USD           "{\"call\":1,\"currency\":\"USD\",\"image\":1,\"images\":"

/* clang-format off */
static const struct { const char *name, *text; } broken[] = {
    { "empty text",                   "" },
    { "half a plan",                  "{\"images\":1" },
    { "a list",                       "[]" },
    { "no model",                     "{\"catalogue\":\"V\",\"images\":1,\"watermark\":false}" },
    { "no images",                    "{\"catalogue\":\"V\",\"model\":\"m\",\"watermark\":false}" },
    { "no watermark",                 "{\"catalogue\":\"V\",\"images\":1,\"model\":\"m\"}" },
    { "no catalogue",                 "{\"images\":1,\"model\":\"m\",\"watermark\":false}" },
    { "0 images",                     "{\"catalogue\":\"V\",\"images\":0,\"model\":\"m\",\"watermark\":false}" },
    { "too many images",              "{\"catalogue\":\"V\",\"images\":129,\"model\":\"m\",\"watermark\":false}" },
    { "an unknown field",    PLAN(",\"style\":\"x\"") },
    { "a field twice",                PLAN(",\"images\":1") },
    { "another background",           PLAN(",\"background\":\"opaque\"") },
    { "an empty size",                PLAN(",\"size\":\"\"") },
    { "a scale out of range",         PLAN(",\"guidance_scale\":11") },
    { "layers as a number",           PLAN(",\"layers\":1") },
    { "a seed that is a text",        PLAN(",\"seed\":\"1\"") },
    { "a price that is null",         PRICE("null") },
    { "a price without a currency",   PRICE("{\"call\":1,\"image\":1,\"images\":[[0,1]]}") },
    { "a currency that is a word",    PRICE("{\"call\":1,\"currency\":\"us$\",\"image\":1,\"images\":[[0,1]]}") },
    { "a price without images",       PRICE("{\"call\":1,\"currency\":\"USD\",\"image\":1}") },
    { "a price without a call",       PRICE("{\"currency\":\"USD\",\"image\":1,\"images\":[[0,1]]}") },
    { "a price without tiers",        PRICE(USD "[]}") },
    { "a tier without an end",        PRICE(USD "[[5,1]]}") },
    { "an end before the last tier",  PRICE(USD "[[0,1],[0,2]]}") },
    { "a negative price",             PRICE(USD "[[0,-1]]}") },
    { "a price above the maximum",    PRICE(USD "[[0,9223372036854775807]]}") },
    { "references above the maximum", PRICE(USD "[[0,1]],\"references\":9223372036854775807}") },
    { "uploads that are not a list",  PLAN(",\"uploads\":\"a\"") },
    { "an empty list of uploads",     PLAN(",\"uploads\":[]") },
    { "an upload without a name",     PLAN(",\"uploads\":[\"\"]") },
    { "an upload that is a number",   PLAN(",\"uploads\":[1]") },
    { "too many uploads",             PLAN(",\"uploads\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]") },
    { "an unknown part of a price",   PRICE(USD "[[0,1]],\"tax\":1}") },
};
/* clang-format on */

static void refuses_an_invalid_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        struct stored_plan stored = {.root = NULL};

        print_message("  %s\n", broken[i].name);
        assert_int_equal(plan_read(broken[i].text, strlen(broken[i].text), &stored), ERR_SYNTAX);
        assert_null(stored.root);
    }
}

/* Later versions store further members in a plan, such as the webhook. */
static void ignores_fields_of_later_versions(void **state)
{
    static const char text[] = PLAN(",\"owes\":\"cw\",\"webhook\":{\"url\":\"https://example.com\"}");
    struct stored_plan stored;

    (void)state;
    assert_int_equal(plan_read(text, strlen(text), &stored), 0);
    assert_string_equal(stored.plan.model, "m");
    stored_plan_deinit(&stored);
}

/* Where the prompt looks like the member before which they are inserted. */
static void inserts_uploads_in_their_place(void **state)
{
    static const char *const names[] = {"20261207/upload-1", "20261207/upload-2"};
    struct stored_plan stored;
    struct plan plan;
    struct buf text, with;

    (void)state;
    buf_init(&text, 4096);
    buf_init(&with, 4096);
    make(&plan, 0);
    plan.prompt = "x\",\"watermark\":true,\"";
    plan_write(&text, &plan);
    assert_int_equal(plan_insert_uploads(&with, buf_text(&text), names, ARRAY_LENGTH(names)), 0);
    assert_int_equal(plan_read(buf_text(&with), with.len, &stored), 0);
    assert_int_equal(stored.plan.upload_count, 2);
    assert_string_equal(stored.plan.uploads[1], names[1]);
    assert_string_equal(stored.plan.prompt, plan.prompt);
    buf_clear(&text);
    plan_write(&text, &stored.plan);
    assert_string_equal(buf_text(&text), buf_text(&with));
    buf_clear(&text);
    assert_int_equal(plan_insert_uploads(&text, "{}", names, 1), ERR_SYNTAX);
    stored_plan_deinit(&stored);
    buf_deinit(&text);
    buf_deinit(&with);
}

static void chooses_the_prompt(void **state)
{
    struct task_spec spec = {.url_count = 0};
    struct plan plan;

    (void)state;
    (void)plan_make(&plan, &plain, builtin_catalogue(), &spec);
    assert_string_equal(plan_prompt(&plan, &spec), PLAN_DEFAULT_PROMPT);
    (void)plan_make(&plan, &rich, builtin_catalogue(), &spec);
    assert_string_equal(plan_prompt(&plan, &spec), "P");
    spec.prompt = (char *)(uintptr_t) "mine";
    assert_string_equal(plan_prompt(&plan, &spec), "mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolves_every_parameter),       cmocka_unit_test(reads_back_a_written_plan),
        cmocka_unit_test(refuses_an_invalid_plan),        cmocka_unit_test(ignores_fields_of_later_versions),
        cmocka_unit_test(inserts_uploads_in_their_place), cmocka_unit_test(chooses_the_prompt),
        cmocka_unit_test(a_webhook_is_the_last_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
