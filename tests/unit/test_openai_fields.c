/* Requests of OpenAI's Images API and of ARK's, as native requests: the field table of docs/openai.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/api/openai/aliases.h"
#include "gateway/api/openai/fields.h"
#include "tests/support/builtin_catalogue.h"

#define P      "\"prompt\":\"p\""
#define URL    "https://example.com/a.png"
#define LITE   "doubao-seedream-5-0-lite-260128"
#define PRO    "doubao-seedream-5-0-pro-260628"
#define NATIVE "{\"max_images\":1,\"prompt\":\"p\",\"urls\":[]}"

static struct openai_size_limits size_limits(const char *model, const void *arg)
{
    (void)arg;
    if (strcmp(model, "tight") == 0)
        return (struct openai_size_limits){3686400, 16777216, 16};
    return (struct openai_size_limits){.ratio_max = 16};
}

static const struct request_defaults defaults = {.model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
static struct validate_rules native = {.defaults = &defaults, .max_paid_calls = 5};
static struct openai_aliases aliases;
static const struct openai_rules plain = {
    .aliases = &aliases, .has_b64 = true, .native = &native, .size_limits = size_limits};

static int read_json(const char *body, const struct openai_rules *rules, struct openai_request *out,
                     struct validate_errors *report)
{
    json_t *root;
    int err;

    validate_begin(report);
    err = validate_parse(body, strlen(body), &root, report);
    if (err)
        return err;
    err = openai_request_read(root, rules, out, report);
    json_decref(root);
    return err;
}

/* clang-format off */
/* What the tasks are, how many, and what has no effect. */
static const struct { const char *name, *body, *native; int n; bool stream; enum openai_format format; const char *ignored; } good[] = {
    { "only a prompt",                   "{" P "}", NATIVE, 1, false, OPENAI_URL, "" },
    { "a model of ARK",                  "{" P ",\"model\":\"doubao-x\"}", "{\"max_images\":1,\"model\":\"doubao-x\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "an alias of the default model",   "{" P ",\"model\":\"dall-e-2\"}", NATIVE, 1, false, OPENAI_URL, "" },
    { "an alias of another model",       "{" P ",\"model\":\"dall-e-3\"}", "{\"max_images\":1,\"model\":\"tight\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "a gpt-image model has b64_json",  "{" P ",\"model\":\"gpt-image-1\"}", NATIVE, 1, false, OPENAI_B64_JSON, "" },
    { "unless it asks for url",          "{" P ",\"model\":\"gpt-image-1\",\"response_format\":\"url\"}", NATIVE, 1, false, OPENAI_URL, "" },
    { "b64_json of another model",       "{" P ",\"response_format\":\"b64_json\"}", NATIVE, 1, false, OPENAI_B64_JSON, "" },
    { "ten images",                      "{" P ",\"n\":10}", NATIVE, 10, false, OPENAI_URL, "" },
    { "a stream",                        "{" P ",\"stream\":true}", NATIVE, 1, true, OPENAI_URL, "" },
    { "no stream",                       "{" P ",\"stream\":false}", NATIVE, 1, false, OPENAI_URL, "" },
    { "a size that is left to the model", "{" P ",\"size\":\"auto\"}", NATIVE, 1, false, OPENAI_URL, "" },
    { "a size of a model without limits", "{" P ",\"size\":\"1024x1024\"}", "{\"max_images\":1,\"prompt\":\"p\",\"size\":\"1024x1024\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "a size that is too small",        "{" P ",\"size\":\"1024x1024\",\"model\":\"tight\"}", "{\"max_images\":1,\"model\":\"tight\",\"prompt\":\"p\",\"size\":\"1928x1928\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "the same by an alias",            "{\"size\":\"1024x1536\"," P ",\"model\":\"dall-e-3\"}", "{\"max_images\":1,\"model\":\"tight\",\"prompt\":\"p\",\"size\":\"1568x2352\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "a keyword of ARK",                "{" P ",\"size\":\"2K\"}", "{\"max_images\":1,\"prompt\":\"p\",\"size\":\"2K\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "fields without effect",           "{" P ",\"quality\":\"hd\",\"style\":\"vivid\",\"moderation\":\"low\",\"output_compression\":80,"
                                         "\"partial_images\":2,\"input_fidelity\":\"high\",\"user\":\"u\",\"safety_identifier\":\"s\"}", NATIVE, 1, false, OPENAI_URL,
                                         "quality, style, moderation, output_compression, partial_images, input_fidelity, user, safety_identifier" },
    { "complexity, which ARK lacks",     "{" P ",\"complexity\":\"high\"}", NATIVE, 1, false, OPENAI_URL, "complexity" },
    { "an unknown field that is null",   "{" P ",\"promt\":null,\"svg\":null,\"frame_count\":null}", NATIVE, 1, false, OPENAI_URL, "" },
    { "fields that ask for nothing",     "{" P ",\"quality\":\"auto\",\"moderation\":\"auto\",\"partial_images\":0,\"background\":\"auto\"}", NATIVE, 1, false, OPENAI_URL, "" },
    { "jpeg, which all models make",     "{" P ",\"output_format\":\"jpeg\"}", "{\"max_images\":1,\"output_format\":\"jpeg\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "jpeg under its other name",       "{" P ",\"output_format\":\"jpg\"}", "{\"max_images\":1,\"output_format\":\"jpeg\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "png of a model that makes it",    "{" P ",\"model\":\"" LITE "\",\"output_format\":\"png\"}", "{\"max_images\":1,\"model\":\"" LITE "\",\"output_format\":\"png\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "an opaque background",            "{" P ",\"background\":\"opaque\"}", "{\"background\":\"opaque\",\"max_images\":1,\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "a transparent one",               "{" P ",\"model\":\"" PRO "\",\"image\":\"" URL "\",\"background\":\"transparent\"}", "{\"background\":\"transparent\",\"max_images\":1,\"model\":\"" PRO "\",\"prompt\":\"p\",\"urls\":[\"" URL "\"]}", 1, false, OPENAI_URL, "" },
    { "layers, without a prompt",        "{\"model\":\"" PRO "\",\"image\":\"" URL "\",\"layer_decomposition\":true}", "{\"layers\":true,\"model\":\"" PRO "\",\"urls\":[\"" URL "\"]}", 1, false, OPENAI_URL, "" },
    { "no layers",                       "{" P ",\"layer_decomposition\":false}", "{\"layers\":false,\"max_images\":1,\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "ARK's prompt optimization",       "{" P ",\"model\":\"doubao-seedream-4-0-250828\",\"optimize_prompt_options\":{\"mode\":\"fast\"}}", "{\"max_images\":1,\"model\":\"doubao-seedream-4-0-250828\",\"optimize_prompt\":\"fast\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "ARK's web search",                "{" P ",\"model\":\"ep-1\",\"tools\":[{\"type\":\"web_search\"}]}", "{\"max_images\":1,\"model\":\"ep-1\",\"prompt\":\"p\",\"urls\":[],\"web_search\":true}", 1, false, OPENAI_URL, "" },
    { "ARK's guidance scale",            "{" P ",\"model\":\"ep-1\",\"guidance_scale\":2.5}", "{\"guidance_scale\":2.5,\"max_images\":1,\"model\":\"ep-1\",\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "no tools",                        "{" P ",\"tools\":[]}", NATIVE, 1, false, OPENAI_URL, "" },
    { "nulls of an SDK",                 "{" P ",\"model\":null,\"n\":null,\"size\":null,\"stream\":null,\"mask\":null,\"seed\":null,\"tools\":null,\"response_format\":null,\"background\":null}", NATIVE, 1, false, OPENAI_URL, "" },
    { "ARK's body with one image",       "{\"model\":\"m\"," P ",\"image\":\"" URL "\",\"watermark\":false,\"seed\":7}",
                                         "{\"max_images\":1,\"model\":\"m\",\"prompt\":\"p\",\"seed\":7,\"urls\":[\"" URL "\"],\"watermark\":false}", 1, false, OPENAI_URL, "" },
    { "ARK's body with two",             "{" P ",\"image\":[\"" URL "\",\"" URL "\"]}", "{\"max_images\":1,\"prompt\":\"p\",\"urls\":[\"" URL "\",\"" URL "\"]}", 1, false, OPENAI_URL, "" },
    { "a group of ARK",                  "{" P ",\"sequential_image_generation\":\"auto\"}", "{\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "a group with its maximum",        "{" P ",\"sequential_image_generation\":\"auto\",\"sequential_image_generation_options\":{\"max_images\":4}}", "{\"max_images\":4,\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
    { "no group",                        "{" P ",\"sequential_image_generation\":\"disabled\",\"n\":2}", NATIVE, 2, false, OPENAI_URL, "" },
    { "a maximum without a group",       "{" P ",\"sequential_image_generation_options\":{\"max_images\":4}}", NATIVE, 1, false, OPENAI_URL, "sequential_image_generation_options" },
    { "a budget of paid calls",          "{" P ",\"max_paid_calls\":1}", "{\"max_images\":1,\"max_paid_calls\":1,\"prompt\":\"p\",\"urls\":[]}", 1, false, OPENAI_URL, "" },
};

/* The pointers of all errors, in their order. */
static const struct { const char *name, *body, *pointers; } bad[] = {
    { "no prompt",                  "{}",                                                "/prompt" },
    { "a prompt that is null",      "{\"prompt\":null}",                                 "/prompt" },
    { "a blank prompt",             "{\"prompt\":\" \"}",                                "/prompt" },
    { "a prompt that is a number",  "{\"prompt\":1}",                                    "/prompt" },
    { "a field of no API",          "{" P ",\"promt\":\"x\"}",                           "/promt" },
    { "a field of the native API",  "{" P ",\"urls\":[\"" URL "\"],\"max_images\":3}",   "/urls /max_images" },
    { "no images",                  "{" P ",\"n\":0}",                                   "/n" },
    { "eleven images",              "{" P ",\"n\":11}",                                  "/n" },
    { "n as a text",                "{" P ",\"n\":\"2\"}",                               "/n" },
    { "n as a real number",         "{" P ",\"n\":2.0}",                                 "/n" },
    { "a size that is a number",    "{" P ",\"size\":1024}",                             "/size" },
    { "a size that is none",        "{" P ",\"size\":\"big\"}",                          "/size" },
    { "proportions beyond 1:16",    "{" P ",\"size\":\"100x2000\",\"model\":\"tight\"}", "/size" },
    { "a format that is none",      "{" P ",\"response_format\":\"png\"}",               "/response_format" },
    { "stream as a text",           "{" P ",\"stream\":\"true\"}",                       "/stream" },
    { "webp",                       "{" P ",\"output_format\":\"webp\"}",                "/output_format" },
    { "png of a model that lacks it", "{" P ",\"output_format\":\"png\"}",              "/output_format" },
    { "a format that is a number",  "{" P ",\"output_format\":1}",                      "/output_format" },
    { "a background that is none",  "{" P ",\"background\":\"blue\"}",                  "/background" },
    { "transparency from a text",   "{" P ",\"model\":\"" PRO "\",\"background\":\"transparent\"}", "/background" },
    { "transparency from two",      "{" P ",\"model\":\"" PRO "\",\"background\":\"transparent\",\"image\":[\"" URL "\",\"" URL "\"]}", "/background" },
    { "a transparent jpeg",         "{" P ",\"model\":\"" PRO "\",\"background\":\"transparent\",\"output_format\":\"jpeg\",\"image\":\"" URL "\"}", "/output_format" },
    { "layers of a model without",  "{" P ",\"layer_decomposition\":true,\"image\":\"" URL "\"}", "/layers" },
    { "layers as a text",           "{" P ",\"layer_decomposition\":\"true\"}",        "/layer_decomposition" },
    { "layers of a text",           "{" P ",\"model\":\"" PRO "\",\"layer_decomposition\":true}", "/layers" },
    { "layers in pixels",           "{" P ",\"model\":\"" PRO "\",\"layer_decomposition\":true,\"image\":\"" URL "\",\"size\":\"1024x1024\"}", "/size" },
    { "layers of several images",   "{" P ",\"model\":\"" PRO "\",\"layer_decomposition\":true,\"image\":\"" URL "\",\"n\":2}", "/n" },
    { "SeedEdit without an image",  "{" P ",\"model\":\"doubao-seededit-3-0-i2i-250628\"}", "/urls" },
    { "another tool",               "{" P ",\"tools\":[{\"type\":\"code\"}]}",                "/tools" },
    { "two tools",                  "{" P ",\"tools\":[{\"type\":\"web_search\"},{\"type\":\"web_search\"}]}", "/tools" },
    { "no mode",                    "{" P ",\"optimize_prompt_options\":{}}",              "/optimize_prompt_options" },
    { "an unknown mode",            "{" P ",\"optimize_prompt_options\":{\"mode\":\"x\"}}", "/optimize_prompt" },
    { "a transparent background",   "{" P ",\"background\":\"transparent\"}",            "/background" },
    { "a mask",                     "{" P ",\"mask\":\"" URL "\"}",                      "/mask" },
    { "a markup",                   "{" P ",\"markup\":\"" URL "\"}",                    "/markup" },
    { "frames of a GIF",            "{" P ",\"frame_count\":4,\"frame_duration_ms\":100}", "/frame_count /frame_duration_ms" },
    { "an author of SVG",           "{" P ",\"svg\":{\"model\":\"m\"}}",               "/svg" },
    { "a private image",            "{" P ",\"image\":\"http://127.0.0.1/\"}",           "/urls/0" },
    { "an image that is a number",  "{" P ",\"image\":[1]}",                             "/urls/0" },
    { "a model that is a number",   "{" P ",\"model\":1}",                               "/model" },
    { "n with a group",             "{" P ",\"n\":2,\"sequential_image_generation\":\"auto\"}", "/n" },
    { "a word that ARK lacks",      "{" P ",\"sequential_image_generation\":\"on\"}",    "/sequential_image_generation" },
    { "options that are a number",  "{" P ",\"sequential_image_generation_options\":1}", "/sequential_image_generation_options" },
    { "options with a typo",        "{" P ",\"sequential_image_generation_options\":{\"max\":1}}", "/sequential_image_generation_options" },
    { "16 images of a group",       "{" P ",\"sequential_image_generation\":\"auto\",\"sequential_image_generation_options\":{\"max_images\":16}}", "/max_images" },
    { "a seed that is a text",      "{" P ",\"seed\":\"1\"}",                            "/seed" },
    { "too many paid calls",        "{" P ",\"max_paid_calls\":6}",                      "/max_paid_calls" },
    { "several",                    "{\"n\":0,\"size\":1,\"x\":1,\"prompt\":\"\"}",      "/n /size /x /prompt" },
};
/* clang-format on */

static void expect_request(size_t i, const struct openai_request *request)
{
    char *json;

    assert_int_equal(task_spec_write(&request->task.spec, &json), 0);
    if (strcmp(json, good[i].native) != 0)
        fail_msg("%s: %s", good[i].name, json);
    if (request->n != good[i].n || request->stream != good[i].stream || request->format != good[i].format)
        fail_msg("%s: n=%d stream=%d format=%d", good[i].name, request->n, request->stream, request->format);
    if (strcmp(request->ignored, good[i].ignored) != 0)
        fail_msg("%s: ignored: %s", good[i].name, request->ignored);
    free(json);
}

static void test_good_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct openai_request request;
        struct validate_errors report;

        if (read_json(good[i].body, &plain, &request, &report))
            fail_msg("%s: %s %s", good[i].name, report.pointers[0], report.details[0]);
        expect_request(i, &request);
        openai_request_deinit(&request);
    }
}

static void test_bad_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct openai_request request;
        struct validate_errors report;
        char pointers[512] = "";

        if (read_json(bad[i].body, &plain, &request, &report) != ERR_RANGE)
            fail_msg("%s is accepted", bad[i].name);
        for (size_t k = 0; k < report.count; k++) {
            size_t len = strlen(pointers);

            assert_true(report.details[k][0]);
            (void)snprintf(pointers + len, sizeof(pointers) - len, "%s%s", k ? " " : "", report.pointers[k]);
        }
        if (strcmp(pointers, bad[i].pointers) != 0)
            fail_msg("%s: %s", bad[i].name, pointers);
    }
}

static enum openai_format format_of(const char *body, enum openai_default_format by_default)
{
    struct openai_rules rules = plain;
    struct openai_request request;
    struct validate_errors report;

    rules.default_format = by_default;
    assert_int_equal(read_json(body, &rules, &request, &report), 0);
    openai_request_deinit(&request);
    return request.format;
}

static void test_default_format_is_an_option(void **state)
{
    static const char gpt[] = "{" P ",\"model\":\"gpt-image-1\"}", other[] = "{" P "}";

    (void)state;
    assert_int_equal(format_of(gpt, OPENAI_DEFAULT_AUTO), OPENAI_B64_JSON);
    assert_int_equal(format_of(gpt, OPENAI_DEFAULT_URL), OPENAI_URL);
    assert_int_equal(format_of(gpt, OPENAI_DEFAULT_B64_JSON), OPENAI_B64_JSON);
    assert_int_equal(format_of(other, OPENAI_DEFAULT_AUTO), OPENAI_URL);
    assert_int_equal(format_of(other, OPENAI_DEFAULT_URL), OPENAI_URL);
    assert_int_equal(format_of(other, OPENAI_DEFAULT_B64_JSON), OPENAI_B64_JSON);
}

/* Refused before anything is paid: the client would find no image in the answer. */
static void test_b64_json_needs_a_storage(void **state)
{
    static const char *const bodies[] = {"{" P ",\"model\":\"gpt-image-1\"}",
                                         "{" P ",\"response_format\":\"b64_json\"}"};
    struct openai_rules rules = plain;

    (void)state;
    rules.has_b64 = false;
    for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
        struct openai_request request;
        struct validate_errors report;

        assert_int_equal(read_json(bodies[i], &rules, &request, &report), ERR_RANGE);
        assert_int_equal(report.count, 1);
        assert_string_equal(report.pointers[0], "/response_format");
        assert_non_null(strstr(report.details[0], "storage"));
        assert_int_equal(strlen(report.details[0]) < VALIDATE_DETAIL_SIZE - 1, 1);
    }
}

static void test_each_task_has_a_seed_of_its_own(void **state)
{
    struct openai_request request = {.n = 3};

    (void)state;
    request.task.spec.seed = 7;
    assert_int_equal(openai_request_seed(&request, 0), 7);
    assert_int_equal(openai_request_seed(&request, 2), 9);
    request.task.spec.seed = INT32_MAX;
    assert_int_equal(openai_request_seed(&request, 1), 0);
    request.task.spec.seed = -1;
    assert_int_equal(openai_request_seed(&request, 1), -1);
}

static int setup(void **state)
{
    const char *at;

    (void)state;
    return openai_aliases_parse("gpt-image-1,dall-e-2,dall-e-3=tight", &aliases, &at) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_requests),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_default_format_is_an_option),
        cmocka_unit_test(test_b64_json_needs_a_storage),
        cmocka_unit_test(test_each_task_has_a_seed_of_its_own),
    };

    native.catalogue = builtin_catalogue();
    return cmocka_run_group_tests(tests, setup, NULL);
}
