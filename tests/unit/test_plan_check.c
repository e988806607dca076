#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/models/plan_check.h"
#include "tests/support/builtin_catalogue.h"

#define FOUR   "doubao-seedream-4-0-250828"
#define FOUR_5 "doubao-seedream-4-5-251128"
#define LITE   "doubao-seedream-5-0-260128"
#define PRO    "doubao-seedream-5-0-pro-260628"
#define FLASH  "doubao-seedream-5-0-flash-260915"
#define FIVE_5 "doubao-seedream-5-5-261028"
#define T2I    "doubao-seedream-3-0-t2i-250415"
#define EDIT   "doubao-seededit-3-0-i2i-250628"
#define EP     "ep-20260101120000-abcde"

#define SIZE(text) .size = (char *)(uintptr_t)(text)
#define NONE       .url_count = 0
#define SEED(n)    .seed_given = true, .seed = (n)
#define SEARCH     .web_search_given = true, .web_search = true
#define LAYERS     .layers_given = true, .layers = true

/* clang-format off */
static const struct { const char *name, *model; size_t references; struct task_spec spec; const char *want; } cases[] = {
    { "nothing",                       FOUR,   2,  {NONE},                               "" },
    { "as many references",            FOUR,   14, {NONE},                               "" },
    { "as many references as pro has", PRO,    10, {NONE},                               "" },
    { "one more",                      PRO,    11, {NONE},                               "/urls " PRO " takes at most 10 reference images, not 11\n" },
    { "too many of 5.5",               FIVE_5, 14, {NONE},                               "/urls " FIVE_5 " takes at most 10 reference images, not 14\n" },
    { "any reference",                 T2I,    1,  {NONE},                               "/urls " T2I " takes no reference images\n" },
    { "none of SeedEdit",              EDIT,   0,  {NONE},                               "/urls " EDIT " needs at least 1 reference image\n" },
    { "one of SeedEdit",               EDIT,   1,  {NONE},                               "" },
    { "two of SeedEdit",               EDIT,   2,  {NONE},                               "/urls " EDIT " takes at most 1 reference image, not 2\n" },
    { "a keyword",                     FOUR,   1,  {SIZE("1K")},                       "" },
    { "a keyword of others",           FOUR_5, 1,  {SIZE("1K")},                       "/size " FOUR_5 " takes 2K, 4K or <width>x<height>\n" },
    { "a keyword of no model",         FOUR,   1,  {SIZE("2k")},                       "/size " FOUR " takes 1K, 2K, 4K or <width>x<height>\n" },
    { "3K of lite",                    LITE,   1,  {SIZE("3K")},                       "" },
    { "4K of pro",                     PRO,    1,  {SIZE("4K")},                       "/size " PRO " takes 1K, 1.5K, 2K or <width>x<height>\n" },
    { "exactly the fewest pixels",     FOUR_5, 1,  {SIZE("2560x1440")},                "" },
    { "too few pixels",                FOUR_5, 1,  {SIZE("1500x1500")},                "/size " FOUR_5 " takes 3686400 to 16777216 pixels, not 2250000\n" },
    { "exactly the most pixels",       FOUR,   1,  {SIZE("4096x4096")},                "" },
    { "too many pixels",               PRO,    1,  {SIZE("2304x2304")},                "/size " PRO " takes 921600 to 4624220 pixels, not 5308416\n" },
    { "a long side is fine",           FOUR,   1,  {SIZE("6240x2656")},                "" },
    { "too narrow",                    FOUR,   1,  {SIZE("16400x1000")},               "/size " FOUR " takes a ratio of width to height from 1:16 to 16:1\n" },
    { "too wide by one",               FOUR,   1,  {SIZE("510x8161")},                 "/size " FOUR " takes a ratio of width to height from 1:16 to 16:1\n" },
    { "pixels that are not published", FIVE_5, 1,  {SIZE("4096x4096")},                "" },
    { "pixels where there are none",   EDIT,   1,  {SIZE("1024x1024")},                "/size " EDIT " takes adaptive, not a size in pixels\n" },
    { "a group",                       LITE,   1,  {.max_images = 14},                 "" },
    { "one image",                     PRO,    1,  {.max_images = 1},                  "" },
    { "a group of pro",                PRO,    1,  {.max_images = 2},                  "/max_images " PRO " makes at most 1 image per call, not 2\n" },
    { "png of lite",                   LITE,   1,  {.output_format = TASK_PNG},        "" },
    { "png of 4.5",                    FOUR_5, 1,  {.output_format = TASK_PNG},        "/output_format " FOUR_5 " makes jpeg only\n" },
    { "jpeg of 4.5",                   FOUR_5, 1,  {.output_format = TASK_JPEG},       "" },
    { "fast",                          PRO,    1,  {.optimize_prompt = TASK_FAST},     "" },
    { "fast of lite",                  LITE,   1,  {.optimize_prompt = TASK_FAST},     "/optimize_prompt " LITE " has only the mode standard\n" },
    { "standard",                      LITE,   1,  {.optimize_prompt = TASK_STANDARD}, "" },
    { "standard of SeedEdit",          EDIT,   1,  {.optimize_prompt = TASK_STANDARD}, "/optimize_prompt " EDIT " has no modes\n" },
    { "a search",                      LITE,   1,  {SEARCH},                           "" },
    { "a search of pro",               PRO,    1,  {SEARCH},                           "/web_search " PRO " cannot search the web\n" },
    { "no search of pro",              PRO,    1,  {.web_search_given = true},         "" },
    { "a seed",                        FLASH,  1,  {SEED(0)},                          "" },
    { "a seed of 5.5",                 FIVE_5, 1,  {SEED(7)},                          "/seed " FIVE_5 " takes no seed\n" },
    { "any seed of 5.5",               FIVE_5, 1,  {SEED(-1)},                         "" },
    { "guidance",                      EDIT,   1,  {.guidance_scale = 550},            "" },
    { "guidance of 4.0",               FOUR,   1,  {.guidance_scale = 550},            "/guidance_scale " FOUR " takes no guidance_scale\n" },
    { "transparent",                   PRO,    1,  {.background = TASK_TRANSPARENT},   "" },
    { "transparent of 4.0",            FOUR,   1,  {.background = TASK_TRANSPARENT},   "/background " FOUR " makes no transparent background\n" },
    { "opaque of 4.0",                 FOUR,   1,  {.background = TASK_OPAQUE},        "" },
    { "transparent from two",          PRO,    2,  {.background = TASK_TRANSPARENT},   "/background " PRO " makes a transparent background from exactly 1 reference image, not 2\n" },
    { "transparent as jpeg",           PRO,    1,  {.background = TASK_TRANSPARENT, .output_format = TASK_JPEG},
                                                   "/output_format " PRO " makes a transparent background as png only\n" },
    { "transparent as png",            PRO,    1,  {.background = TASK_TRANSPARENT, .output_format = TASK_PNG}, "" },
    { "layers",                        FIVE_5, 1,  {LAYERS},                           "" },
    { "layers of lite",                LITE,   1,  {LAYERS},                           "/layers " LITE " makes no layers\n" },
    { "layers of two",                 PRO,    2,  {LAYERS},                           "/layers " PRO " makes layers of exactly 1 reference image, not 2\n" },
    { "layers in pixels",              PRO,    1,  {LAYERS, SIZE("1024x1024")},        "/size " PRO " makes layers in a size that is a keyword, not in pixels\n" },
    { "layers in the size of the reference", PRO, 1, {LAYERS, SIZE("auto")},             "" },
    { "that size without layers",      PRO,    1,  {SIZE("auto")},                     "/size " PRO " takes 1K, 1.5K, 2K or <width>x<height>\n" },
    { "layers in a keyword of others", PRO,    1,  {LAYERS, SIZE("4K")},               "/size " PRO " takes 1K, 1.5K, 2K or auto for layers\n" },
    { "layers and a number",           PRO,    1,  {LAYERS, .max_images = 4},          "/max_images " PRO " decides on the number of layers itself, at most 17 with the base\n" },
    { "several at once",               PRO,    11, {.max_images = 3, SEARCH},          "/max_images " PRO " makes at most 1 image per call, not 3\n"
                                                   "/urls " PRO " takes at most 10 reference images, not 11\n"
                                                   "/web_search " PRO " cannot search the web\n" },
    { "anything of an endpoint id",    EP,     14, {SIZE("2k"), SEED(7), SEARCH, .guidance_scale = 100, .output_format = TASK_PNG,
                                                    .optimize_prompt = TASK_FAST, .max_images = 1}, "" },
    { "layers of two of an endpoint",  EP,     2,  {LAYERS},                           "/layers " EP " makes layers of exactly 1 reference image, not 2\n" },
};
/* clang-format on */

static void note(const char *pointer, const char *detail, void *arg)
{
    struct buf *out = arg;

    buf_addf(out, "%s %s\n", pointer, detail);
}

static void names_model_field_and_limit(void **state)
{
    static const struct request_defaults defaults = {.model = FOUR, .size = "2K", .max_images = 3};
    char url[] = "https://example.com/1.png";
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct task_spec spec = cases[i].spec;
        const struct model *row;
        struct plan plan;

        print_message("  %s\n", cases[i].name);
        spec.model = (char *)(uintptr_t)cases[i].model;
        for (spec.url_count = 0; spec.url_count < cases[i].references; spec.url_count++)
            spec.urls[spec.url_count] = url;
        buf_clear(&out);
        row = plan_make(&plan, &defaults, builtin_catalogue(), &spec);
        plan_check(&plan, row, &spec, note, &out);
        assert_string_equal(buf_text(&out), cases[i].want);
    }
    buf_deinit(&out);
}

/* A default is the operator's: it is applied where it fits, and never a reason to refuse a request. */
static void defaults_are_no_reason_to_refuse(void **state)
{
    static const struct request_defaults defaults = {.size = "4K",
                                                     .max_images = 15,
                                                     .guidance_scale = 10,
                                                     .web_search = true,
                                                     .layers = true,
                                                     .output_format = TASK_PNG,
                                                     .optimize_prompt = TASK_FAST,
                                                     .background = TASK_TRANSPARENT};
    static const char *const models[] = {FOUR, FOUR_5, LITE, PRO, FLASH, FIVE_5, EDIT, EP};
    static const struct task_spec specs[] = {
        {NONE}, {.max_images = 1}, {SIZE("2048x2048")}, {.output_format = TASK_JPEG}};
    char url[] = "https://example.com/1.png";
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_LENGTH(models); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(specs); k++) {
            struct task_spec spec = specs[k];
            const struct model *row;
            struct plan plan;

            if (!strcmp(models[i], EDIT) && spec.size)
                continue;
            spec.model = (char *)(uintptr_t)models[i];
            spec.urls[spec.url_count++] = url;
            row = plan_make(&plan, &defaults, builtin_catalogue(), &spec);
            plan_check(&plan, row, &spec, note, &out);
            assert_string_equal(buf_text(&out), "");
            assert_true(!spec.max_images || plan.images == 1);
        }
    buf_deinit(&out);
}

static void the_model_is_cut_where_it_is_too_long(void **state)
{
    static const struct request_defaults defaults = {.size = "2K", .max_images = 3};
    char model[129] = "seedream-5-0-pro-", long_part[] = "1";
    struct task_spec spec = {.model = model, .max_images = 2};
    const struct model *row;
    struct plan plan;
    struct buf out;

    (void)state;
    while (strlen(model) < 128)
        strcat(model, long_part);
    buf_init(&out, 4096);
    row = plan_make(&plan, &defaults, builtin_catalogue(), &spec);
    plan_check(&plan, row, &spec, note, &out);
    assert_non_null(strstr(buf_text(&out), "111 makes at most 1 image per call, not 2"));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_model_field_and_limit),
        cmocka_unit_test(defaults_are_no_reason_to_refuse),
        cmocka_unit_test(the_model_is_cut_where_it_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
