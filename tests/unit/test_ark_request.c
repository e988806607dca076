#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/macros.h"
#include "common/models/plan.h"
#include "common/task/task_spec.h"
#include "tests/support/builtin_catalogue.h"
#include "worker/ark/request.h"

#define PRO    "doubao-seedream-5-0-pro-260628"
#define LITE   "doubao-seedream-5-0-lite-260128"
#define FOUR   "doubao-seedream-4-0-250828"
#define FOUR_5 "doubao-seedream-4-5-251128"
#define FLASH  "doubao-seedream-5-0-flash-260915"
#define T2I    "doubao-seedream-3-0-t2i-250415"
#define EDIT   "doubao-seededit-3-0-i2i-250628"
#define FIVE_5 "doubao-seedream-5-5-261028"
#define OTHER  "seedream-of-tomorrow"

static const struct request_defaults plain = {.model = FOUR, .prompt = "P", .size = "2K", .max_images = 3};
static const struct ark_way usual;

static void reference(struct task_spec *spec, size_t count)
{
    static char urls[TASK_URLS_MAX][48];

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(urls[i], sizeof(urls[i]), "https://a.test/%zu.png", i);
        spec->urls[i] = urls[i];
    }
    spec->url_count = count;
}

/* The parsed body, with the other fields of the request. */
struct built {
    json_t *json;
    int images;
    bool stream;
};

static struct built build_in(struct ark_way way, const struct request_defaults *defaults, const struct task_spec *spec)
{
    struct ark_request request = {0};
    struct built built;
    struct plan plan;

    (void)plan_make(&plan, defaults, builtin_catalogue(), spec);
    assert_int_equal(ark_request_build(&plan, spec, way, &request), 0);
    assert_int_equal(request.len, strlen(request.body));
    built.json = json_loads(request.body, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(built.json);
    built.images = request.images;
    built.stream = request.stream;
    ark_request_deinit(&request);
    assert_null(request.body);
    return built;
}

static struct built build(const struct request_defaults *defaults, const struct task_spec *spec)
{
    return build_in(usual, defaults, spec);
}

/* `want` is JSON; NULL: the field is absent. */
static void assert_field(const struct built *built, const char *field, const char *want)
{
    json_t *value = json_object_get(built->json, field);
    json_t *wanted = want ? json_loads(want, JSON_DECODE_ANY, NULL) : NULL;

    if (!!value != !!want || (want && !json_equal(value, wanted))) {
        char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

        fail_msg("%s is %s, not %s", field, text ? text : "absent", want ? want : "absent");
    }
    json_decref(wanted);
}

#define AUTO    "\"auto\""
#define MAX(n)  "{\"max_images\":" #n "}"
#define GROUP   "sequential_image_generation"
#define OPTIONS "sequential_image_generation_options"

static void sends_the_defaults_and_always_watermark_and_max_images(void **state)
{
    struct task_spec spec = {0};
    struct built built;

    (void)state;
    reference(&spec, 2);
    built = build(&plain, &spec);
    assert_field(&built, "model", "\"" FOUR "\"");
    assert_field(&built, "prompt", "\"P\"");
    assert_field(&built, "image", "[\"https://a.test/0.png\",\"https://a.test/1.png\"]");
    assert_field(&built, "size", "\"2K\"");
    assert_field(&built, "watermark", "false");
    assert_field(&built, "response_format", NULL);
    assert_field(&built, "stream", "true");
    assert_field(&built, GROUP, "\"auto\"");
    assert_field(&built, OPTIONS, "{\"max_images\":3}");
    assert_int_equal(json_object_size(built.json), 8);
    assert_int_equal(built.images, 3);
    assert_true(built.stream);
    json_decref(built.json);
}

static void prefers_the_clients_values(void **state)
{
    struct task_spec spec = {.prompt = "client's \"words\"",
                             .size = "1024x1024",
                             .model = FOUR_5,
                             .max_images = 5,
                             .watermark_given = true,
                             .watermark = true};
    struct built built;

    (void)state;
    reference(&spec, 1);
    built = build(&plain, &spec);
    assert_field(&built, "model", "\"" FOUR_5 "\"");
    assert_field(&built, "prompt", "\"client's \\\"words\\\"\"");
    assert_field(&built, "image", "\"https://a.test/0.png\"");
    assert_field(&built, "size", "\"1024x1024\"");
    assert_field(&built, "watermark", "true");
    assert_field(&built, OPTIONS, "{\"max_images\":5}");
    json_decref(built.json);

    spec.watermark = false;
    built = build(&(struct request_defaults){.model = FOUR, .max_images = 1, .watermark = true}, &spec);
    assert_field(&built, "watermark", "false");
    json_decref(built.json);
}

static void sends_the_built_in_prompt_when_there_is_none(void **state)
{
    static const char *const none[] = {NULL, ""};
    struct task_spec spec = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct built built = build(
            &(struct request_defaults){.model = FOUR, .prompt = (char *)(uintptr_t)none[i], .max_images = 1}, &spec);

        assert_string_equal(json_string_value(json_object_get(built.json, "prompt")), PLAN_DEFAULT_PROMPT);
        assert_field(&built, "image", NULL);
        json_decref(built.json);
    }
}

static const struct {
    const char *name, *model;
    size_t references;
    int wanted, images; /* wanted 0: the default of 3 */
    const char *group, *options;
} groups[] = {
    {"the default",                                FOUR,                      1,  0,  3,  AUTO, MAX(3) },
    {"one image needs no group",                   FOUR,                      1,  1,  1,  NULL, NULL   },
    {"as many as there is room for",               FOUR,                      5,  10, 10, AUTO, MAX(10)},
    {"clamped to the room left by the references", FOUR,                      13, 15, 2,  AUTO, MAX(2) },
    {"the default is clamped too",                 FOUR,                      13, 0,  2,  AUTO, MAX(2) },
    {"fourteen references leave one",              FOUR,                      14, 0,  1,  NULL, NULL   },
    {"without references",                         FOUR,                      0,  15, 15, AUTO, MAX(15)},
    {"4.5 has groups",                             FOUR_5,                    1,  0,  3,  AUTO, MAX(3) },
    {"5.0 lite has groups",                        LITE,                      1,  0,  3,  AUTO, MAX(3) },
    {"5.0 pro refuses the very field",             PRO,                       1,  4,  1,  NULL, NULL   },
    {"5.0 flash as well",                          FLASH,                     1,  4,  1,  NULL, NULL   },
    {"3.0 as well",                                T2I,                       0,  4,  1,  NULL, NULL   },
    {"SeedEdit as well",                           EDIT,                      1,  4,  1,  NULL, NULL   },
    {"5.5 as well",                                FIVE_5,                    1,  4,  1,  NULL, NULL   },
    {"one image of an endpoint id",                "ep-20250828101010-abcde", 1,  1,  1,  NULL, NULL   },
    {"a group of an endpoint id",                  "ep-20250828101010-abcde", 1,  2,  2,  AUTO, MAX(2) },
};

static void clamps_the_group_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(groups); i++) {
        struct task_spec spec = {.model = (char *)(uintptr_t)groups[i].model, .max_images = groups[i].wanted};
        struct built built;

        print_message("  %s\n", groups[i].name);
        reference(&spec, groups[i].references);
        built = build(&plain, &spec);
        assert_field(&built, GROUP, groups[i].group);
        assert_field(&built, OPTIONS, groups[i].options);
        assert_int_equal(built.images, groups[i].images);
        json_decref(built.json);
    }
}

static const struct {
    const char *name, *model, *field, *want;
} extras[] = {
    {"4.0 is always jpeg",                         FOUR,   "output_format",           NULL                         },
    {"4.5 is always jpeg",                         FOUR_5, "output_format",           NULL                         },
    {"5.0 lite has formats",                       LITE,   "output_format",           "\"png\""                    },
    {"5.0 pro has formats",                        PRO,    "output_format",           "\"png\""                    },
    {"5.5 has formats",                            FIVE_5, "output_format",           "\"png\""                    },
    {"5.5 cannot be fast",                         FIVE_5, "optimize_prompt_options", NULL                         },
    {"5.5 takes no seed",                          FIVE_5, "seed",                    NULL                         },
    {"5.5 has a background",                       FIVE_5, "background",              "\"transparent\""            },
    {"5.5 does not stream",                        FIVE_5, "stream",                  NULL                         },
    {"one image of an unknown model: no stream",   OTHER,  "stream",                  NULL                         },
    {"an unknown model may have no formats",       OTHER,  "output_format",           NULL                         },
    {"4.0 does not search",                        FOUR,   "tools",                   NULL                         },
    {"5.0 lite searches",                          LITE,   "tools",                   "[{\"type\":\"web_search\"}]"},
    {"5.0 pro does not search",                    PRO,    "tools",                   NULL                         },
    {"4.0 can be fast",                            FOUR,   "optimize_prompt_options", "{\"mode\":\"fast\"}"        },
    {"5.0 pro can be fast",                        PRO,    "optimize_prompt_options", "{\"mode\":\"fast\"}"        },
    {"4.5 cannot be fast",                         FOUR_5, "optimize_prompt_options", NULL                         },
    {"5.0 lite cannot be fast",                    LITE,   "optimize_prompt_options", NULL                         },
    {"4.0 has no guidance",                        FOUR,   "guidance_scale",          NULL                         },
    {"3.0 has guidance",                           T2I,    "guidance_scale",          "2"                          },
    {"4.0 takes a seed",                           FOUR,   "seed",                    "42"                         },
    {"3.0 takes a seed",                           T2I,    "seed",                    "42"                         },
    {"4.5 takes no seed",                          FOUR_5, "seed",                    NULL                         },
    {"4.0 has no background",                      FOUR,   "background",              NULL                         },
    {"5.0 flash has a background",                 FLASH,  "background",              "\"transparent\""            },
    {"5.0 pro does not stream",                    PRO,    "stream",                  NULL                         },
    {"5.0 lite streams",                           LITE,   "stream",                  "true"                       },
    {"pictures as bytes",                          FOUR,   "response_format",         "\"b64_json\""               },
    {"a size that the model has",                  LITE,   "size",                    "\"4K\""                     },
    {"a size that the model lacks is left to ARK", PRO,    "size",                    NULL                         },
};

static void sends_only_supported_fields(void **state)
{
    const struct request_defaults all = {.prompt = "P",
                                         .size = "4K",
                                         .max_images = 1,
                                         .output_format = TASK_PNG,
                                         .optimize_prompt = TASK_FAST,
                                         .web_search = true,
                                         .guidance_scale = 2,
                                         .background = TASK_TRANSPARENT};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(extras); i++) {
        struct task_spec spec = {.model = (char *)(uintptr_t)extras[i].model, .seed_given = true, .seed = 42};
        struct built built;

        print_message("  %s\n", extras[i].name);
        reference(&spec, strcmp(extras[i].model, T2I) != 0);
        built = build_in((struct ark_way){.format = ARK_RESPONSE_B64_JSON}, &all, &spec);
        assert_field(&built, extras[i].field, extras[i].want);
        json_decref(built.json);
    }
}

/* A field with ARK's default value is not needed, and a model may refuse it. */
static void leaves_out_arks_defaults(void **state)
{
    static const char *const all[] = {FOUR,   FOUR_5, LITE, PRO,   FLASH,
                                      FIVE_5, T2I,    EDIT, OTHER, "ep-20250828101010-abcde"};
    const struct request_defaults defaults = {.prompt = "P",
                                              .max_images = 1,
                                              .output_format = TASK_JPEG,
                                              .optimize_prompt = TASK_STANDARD,
                                              .background = TASK_OPAQUE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
        struct task_spec spec = {.model = (char *)(uintptr_t)all[i], .seed_given = true, .seed = -1};
        struct built built = build_in((struct ark_way){.stream = ARK_STREAM_OFF}, &defaults, &spec);

        print_message("  %s\n", all[i]);
        assert_field(&built, "watermark", "false");
        assert_field(&built, "prompt", "\"P\"");
        assert_int_equal(json_object_size(built.json), 3);
        json_decref(built.json);
    }
}

static void streams_as_configured(void **state)
{
    struct task_spec spec = {0};
    struct built built;

    (void)state;
    built = build_in((struct ark_way){.stream = ARK_STREAM_OFF}, &plain, &spec);
    assert_field(&built, "stream", NULL);
    assert_false(built.stream);
    json_decref(built.json);

    spec.model = (char *)(uintptr_t)PRO;
    built = build_in((struct ark_way){.stream = ARK_STREAM_ON}, &plain, &spec);
    assert_field(&built, "stream", "true");
    assert_true(built.stream);
    json_decref(built.json);
}

static void layers_need_one_reference_and_a_model_for_it(void **state)
{
    struct request_defaults defaults = plain;
    struct task_spec spec = {.model = (char *)(uintptr_t)PRO};
    struct built built;

    (void)state;
    defaults.layers = true;
    reference(&spec, 1);
    built = build(&defaults, &spec);
    assert_field(&built, "layer_decomposition", "true");
    assert_int_equal(built.images, 17);
    json_decref(built.json);
    spec.model = (char *)(uintptr_t)FIVE_5;
    built = build(&defaults, &spec);
    assert_int_equal(built.images, 100);
    json_decref(built.json);

    reference(&spec, 2);
    built = build(&defaults, &spec);
    assert_field(&built, "layer_decomposition", NULL);
    assert_int_equal(built.images, 1);
    json_decref(built.json);
}

/* The client's parameters override the defaults, even where they switch something off. */
static const struct {
    const char *name, *model;
    struct task_spec spec;
    const char *field, *want;
} asked[] = {
    {"png",                          LITE,   {.output_format = TASK_PNG},                    "output_format",           "\"png\""                    },
    {"jpeg is ARK's default",        LITE,   {.output_format = TASK_JPEG},                   "output_format",           NULL                         },
    {"a search",                     LITE,   {.web_search_given = true, .web_search = true}, "tools",                   "[{\"type\":\"web_search\"}]"},
    {"no search",                    LITE,   {.web_search_given = true},                     "tools",                   NULL                         },
    {"fast",                         FOUR,   {.optimize_prompt = TASK_FAST},                 "optimize_prompt_options", "{\"mode\":\"fast\"}"        },
    {"standard is ARK's default",    FOUR,   {.optimize_prompt = TASK_STANDARD},             "optimize_prompt_options", NULL                         },
    {"a guidance scale",             T2I,    {.guidance_scale = 755},                        "guidance_scale",          "7.55"                       },
    {"an integer guidance scale",    T2I,    {.guidance_scale = 1000},                       "guidance_scale",          "10"                         },
    {"opaque is ARK's default",      PRO,    {.background = TASK_OPAQUE},                    "background",              NULL                         },
    {"transparent",                  PRO,    {.background = TASK_TRANSPARENT},               "background",              "\"transparent\""            },
    {"transparent, which needs png", PRO,    {.background = TASK_TRANSPARENT},               "output_format",           "\"png\""                    },
    {"layers",                       FIVE_5, {.layers_given = true, .layers = true},         "layer_decomposition",     "true"                       },
    {"no layers",                    FIVE_5, {.layers_given = true},                         "layer_decomposition",     NULL                         },
    {"png of an unlisted model",     OTHER,  {.output_format = TASK_PNG},                    "output_format",           "\"png\""                    },
    {"a seed of an unlisted model",  OTHER,  {.seed_given = true, .seed = 3},                "seed",                    "3"                          },
};

static void overrides_defaults_with_the_clients_parameters(void **state)
{
    struct request_defaults opposite = plain;

    (void)state;
    opposite.layers = opposite.web_search = true;
    opposite.output_format = TASK_PNG;
    opposite.optimize_prompt = TASK_FAST;
    opposite.guidance_scale = 2;
    opposite.background = TASK_TRANSPARENT;
    for (size_t i = 0; i < ARRAY_LENGTH(asked); i++) {
        const struct request_defaults *defaults[] = {&plain, &opposite};

        for (size_t k = 0; k < 2; k++) {
            struct task_spec spec = asked[i].spec;
            struct built built;

            print_message("  %s\n", asked[i].name);
            spec.model = (char *)(uintptr_t)asked[i].model;
            reference(&spec, 1);
            built = build(defaults[k], &spec);
            assert_field(&built, asked[i].field, asked[i].want);
            json_decref(built.json);
        }
    }
}

static void layers_need_no_prompt(void **state)
{
    static const struct request_defaults without = {.model = PRO, .size = "2K", .max_images = 3};
    struct task_spec spec = {.layers_given = true, .layers = true};
    struct built built;

    (void)state;
    reference(&spec, 1);
    built = build(&without, &spec);
    assert_field(&built, "prompt", NULL);
    json_decref(built.json);
}

static void refuses_a_body_above_arks_limit(void **state)
{
    struct task_spec spec = {0};
    struct ark_request request;
    struct plan plan;
    size_t len = ARK_BODY_MAX / 2;
    char *huge = malloc(len + 1);

    (void)state;
    assert_non_null(huge);
    memset(huge, 'x', len);
    huge[len] = '\0';
    spec.urls[0] = spec.urls[1] = huge;
    spec.url_count = 2;
    (void)plan_make(&plan, &plain, builtin_catalogue(), &spec);
    assert_int_equal(ark_request_build(&plan, &spec, usual, &request), ERR_TOO_LONG);
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_the_defaults_and_always_watermark_and_max_images),
        cmocka_unit_test(prefers_the_clients_values),
        cmocka_unit_test(sends_the_built_in_prompt_when_there_is_none),
        cmocka_unit_test(clamps_the_group_size),
        cmocka_unit_test(sends_only_supported_fields),
        cmocka_unit_test(leaves_out_arks_defaults),
        cmocka_unit_test(streams_as_configured),
        cmocka_unit_test(layers_need_one_reference_and_a_model_for_it),
        cmocka_unit_test(overrides_defaults_with_the_clients_parameters),
        cmocka_unit_test(layers_need_no_prompt),
        cmocka_unit_test(refuses_a_body_above_arks_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
