#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/task_spec.h"

#define URL         "https://example.com/a.png"
#define BYTES(text) text, sizeof(text) - 1

static const char everything[] =
    "{\"max_images\":3,\"max_paid_calls\":1,\"model\":\"doubao-seedream-4-0-250828\",\"prompt\":\"两只\\\"猫\\\"\\n和\\\\狗\","
    "\"seed\":-1,\"size\":\"2K\",\"urls\":[\"https://example.com/a.png\",\"http://example.org/图.jpg?x=1&y=/\"],"
    "\"watermark\":false}";

static void test_all_fields_are_written(void **state)
{
    struct task_spec spec = {
        .urls = {(char[]){URL}, (char[]){"http://example.org/图.jpg?x=1&y=/"}},
        .url_count = 2,
        .prompt = (char[]){"两只\"猫\"\n和\\狗"            },
        .size = (char[]){"2K"},
        .model = (char[]){"doubao-seedream-4-0-250828"            },
        .max_images = 3,
        .max_paid_calls = 1,
        .watermark_given = true,
        .seed_given = true,
        .seed = -1,
    };
    char *json, hash[TASK_HASH_SIZE];

    (void)state;
    assert_int_equal(task_spec_write(&spec, &json), 0);
    assert_string_equal(json, everything);
    assert_int_equal(task_spec_hash(hash, json), 0);
    assert_string_equal(hash, "KibxANMIXFjKPVCjwr_v8BMY2I6qiX6eeAav9WeI8K4");
    free(json);
}

static void test_absent_fields_are_not_written(void **state)
{
    struct task_spec spec = {.urls = {(char[]){URL}}, .url_count = 1};
    char *json;

    (void)state;
    assert_int_equal(task_spec_write(&spec, &json), 0);
    assert_string_equal(json, "{\"urls\":[\"" URL "\"]}");
    free(json);
}

static void test_a_webhook_is_written_and_read(void **state)
{
    static const char want[] = "{\"urls\":[\"" URL "\"],\"watermark\":true,\"webhook\":\"https://a.example/?x=1\","
                               "\"webhook_events\":\"start final\"}";
    struct task_spec spec = {.urls = {(char[]){URL}},
                             .url_count = 1,
                             .watermark_given = true,
                             .watermark = true,
                             .webhook = (char[]){"https://a.example/?x=1"},
                             .webhook_events = TASK_ON_FINAL | TASK_ON_START};
    struct task_spec read;
    char *json;

    (void)state;
    assert_int_equal(task_spec_write(&spec, &json), 0);
    assert_string_equal(json, want);
    free(json);
    assert_int_equal(task_spec_read(BYTES(want), &read), 0);
    assert_string_equal(read.webhook, "https://a.example/?x=1");
    assert_int_equal(read.webhook_events, TASK_ON_FINAL | TASK_ON_START);
    task_spec_deinit(&read);
}

static void test_damaged_webhooks_are_refused(void **state)
{
    static const char *const damaged[] = {"\"webhook\":\"\"",
                                          "\"webhook\":1",
                                          "\"webhook_events\":\"\"",
                                          "\"webhook_events\":\"final start\"",
                                          "\"webhook_events\":\"final final\"",
                                          "\"webhook_events\":\"start  final\"",
                                          "\"webhook_events\":\"start image final final\"",
                                          "\"webhook_events\":\"done\"",
                                          "\"webhook_events\":[\"final\"]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(damaged); i++) {
        struct task_spec spec;
        char json[256];
        int len = snprintf(json, sizeof(json), "{\"urls\":[\"" URL "\"],%s}", damaged[i]);

        print_message("  %s\n", damaged[i]);
        assert_int_equal(task_spec_read(json, (size_t)len, &spec), ERR_SYNTAX);
    }
}

static void test_invalid_utf8_is_not_written(void **state)
{
    struct task_spec link = {
        .urls = {(char[]){"u"}, (char[]){"\xff"}},
          .url_count = 2
    };
    struct task_spec prompt = {.urls = {(char[]){"u"}}, .url_count = 1, .prompt = (char[]){"\xe5\x9b"}};
    char *json = NULL;

    (void)state;
    assert_int_not_equal(task_spec_write(&link, &json), 0);
    assert_int_not_equal(task_spec_write(&prompt, &json), 0);
    assert_null(json);
}

static void test_all_fields_are_read(void **state)
{
    struct task_spec spec;

    (void)state;
    assert_int_equal(task_spec_read(BYTES(everything), &spec), 0);
    assert_int_equal(spec.url_count, 2);
    assert_string_equal(spec.urls[0], URL);
    assert_string_equal(spec.urls[1], "http://example.org/图.jpg?x=1&y=/");
    assert_string_equal(spec.prompt, "两只\"猫\"\n和\\狗");
    assert_string_equal(spec.size, "2K");
    assert_string_equal(spec.model, "doubao-seedream-4-0-250828");
    assert_int_equal(spec.max_images, 3);
    assert_int_equal(spec.max_paid_calls, 1);
    assert_true(spec.watermark_given);
    assert_false(spec.watermark);
    assert_true(spec.seed_given);
    assert_int_equal(spec.seed, -1);
    task_spec_deinit(&spec);
    assert_int_equal(spec.url_count, 0);
    task_spec_deinit(&spec);
}

static void test_absent_fields_are_read_as_absent(void **state)
{
    struct task_spec spec;

    (void)state;
    memset(&spec, 0xff, sizeof(spec));
    assert_int_equal(task_spec_read(BYTES("{\"urls\":[\"" URL "\"]}"), &spec), 0);
    assert_null(spec.prompt);
    assert_null(spec.size);
    assert_null(spec.model);
    assert_int_equal(spec.max_images, 0);
    assert_int_equal(spec.max_paid_calls, 0);
    assert_false(spec.watermark_given);
    assert_false(spec.seed_given);
    task_spec_deinit(&spec);
}

/* clang-format off */
static const struct { const char *name, *json; } round_trips[] = {
    { "one link",                       "{\"urls\":[\"" URL "\"]}" },
    { "everything",                     everything },
    { "a watermark that is on",         "{\"urls\":[\"u\"],\"watermark\":true}" },
    { "the smallest seed",              "{\"seed\":-9223372036854775808,\"urls\":[\"u\"]}" },
    { "the largest seed",               "{\"seed\":9223372036854775807,\"urls\":[\"u\"]}" },
    { "seed zero is not absent",        "{\"seed\":0,\"urls\":[\"u\"]}" },
    { "an empty prompt is not absent",  "{\"prompt\":\"\",\"urls\":[\"u\"]}" },
    { "text to image",                  "{\"prompt\":\"x\",\"urls\":[]}" },
    { "a text and fifteen images",      "{\"max_images\":15,\"prompt\":\"x\",\"urls\":[]}" },
    { "one link and fourteen images",   "{\"max_images\":14,\"urls\":[\"u\"]}" },
    { "fourteen links and one image",   "{\"max_images\":1,\"urls\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\"]}" },
    { "the order of links is kept",     "{\"urls\":[\"b\",\"a\",\"b\"]}" },
    { "every parameter of ARK's",       "{\"background\":\"transparent\",\"guidance_scale\":2.55,\"layers\":false,\"optimize_prompt\":\"fast\","
                                        "\"output_format\":\"png\",\"urls\":[\"u\"],\"web_search\":true}" },
    { "the other words",                "{\"background\":\"opaque\",\"guidance_scale\":10,\"layers\":true,\"optimize_prompt\":\"standard\","
                                        "\"output_format\":\"jpeg\",\"urls\":[\"u\"],\"web_search\":false}" },
    { "a tenth",                        "{\"guidance_scale\":7.5,\"urls\":[\"u\"]}" },
    { "a hundredth",                    "{\"guidance_scale\":1.01,\"urls\":[\"u\"]}" },
    { "many paid calls",                "{\"max_paid_calls\":2147483647,\"urls\":[\"u\"]}" },
};
/* clang-format on */

static void test_round_trips_keep_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(round_trips); i++) {
        struct task_spec spec;
        char *json;

        print_message("  %s\n", round_trips[i].name);
        assert_int_equal(task_spec_read(round_trips[i].json, strlen(round_trips[i].json), &spec), 0);
        assert_int_equal(task_spec_write(&spec, &json), 0);
        assert_string_equal(json, round_trips[i].json);
        free(json);
        task_spec_deinit(&spec);
    }
}

static void test_the_order_of_the_fields_does_not_change_the_hash(void **state)
{
    static const char other_order[] = " { \"watermark\": true, \"urls\": [ \"u\" ], \"prompt\": \"\\u732b\" } ";
    struct task_spec spec;
    char *json;

    (void)state;
    assert_int_equal(task_spec_read(BYTES(other_order), &spec), 0);
    assert_int_equal(task_spec_write(&spec, &json), 0);
    assert_string_equal(json, "{\"prompt\":\"猫\",\"urls\":[\"u\"],\"watermark\":true}");
    free(json);
    task_spec_deinit(&spec);
}

/* Computed with Python's hashlib and base64. */
static void test_hashes(void **state)
{
    static const struct {
        const char *json, *hash;
    } known[] = {
        {"",                                       "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
        {"{\"urls\":[\"" URL "\"]}",               "lova6peATRf5F6Zep2Ecqy4tQoHcVaO6hr1KjkAcO0o"},
        {"{\"urls\":[\"https://example.com/4\"]}", "YGeMu_o0l-Gz1QqHsDyN4fGKqcJbjiIqEYNqczCik80"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        char hash[TASK_HASH_SIZE];

        assert_int_equal(task_spec_hash(hash, known[i].json), 0);
        assert_string_equal(hash, known[i].hash);
    }
}

#define WITH(field) BYTES("{\"urls\":[\"u\"]," field "}")
/* clang-format off */
static const struct { const char *name, *json; size_t len; } bad[] = {
    { "nothing",                                BYTES("") },
    { "not JSON",                               BYTES("urls") },
    { "an array",                               BYTES("[]") },
    { "null",                                   BYTES("null") },
    { "truncated JSON",                         BYTES("{\"urls\":[\"u\"]") },
    { "text after the JSON",                    BYTES("{\"urls\":[\"u\"]} x") },
    { "an empty object",                        BYTES("{}") },
    { "no links and no prompt",                 BYTES("{\"size\":\"2K\"}") },
    { "an empty list of links, no prompt",      BYTES("{\"urls\":[]}") },
    { "no links and an empty prompt",           BYTES("{\"prompt\":\"\",\"urls\":[]}") },
    { "sixteen images from a text",             BYTES("{\"prompt\":\"x\",\"max_images\":16,\"urls\":[]}") },
    { "one link that is not a list",            BYTES("{\"urls\":\"u\"}") },
    { "an empty link",                          BYTES("{\"urls\":[\"\"]}") },
    { "a link that is a number",                BYTES("{\"urls\":[\"u\",1]}") },
    { "a link that is null",                    BYTES("{\"urls\":[\"u\",null]}") },
    { "a list in the list",                     BYTES("{\"urls\":[[\"u\"]]}") },
    { "fifteen links",                          BYTES("{\"urls\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\"]}") },
    { "an unknown field",                       WITH("\"style\":\"x\"") },
    { "the task's id, which is not content",    WITH("\"task_id\":\"t1\"") },
    { "a field twice",                          WITH("\"urls\":[\"u\"]") },
    { "a field in capitals",                    WITH("\"Prompt\":\"x\"") },
    { "a prompt that is null",                  WITH("\"prompt\":null") },
    { "a prompt that is a number",              WITH("\"prompt\":1") },
    { "a prompt with a NUL",                    WITH("\"prompt\":\"a\\u0000b\"") },
    { "a prompt that is not UTF-8",             WITH("\"prompt\":\"\xff\"") },
    { "a prompt with half a surrogate pair",    WITH("\"prompt\":\"\\ud800\"") },
    { "a size that is a number",                WITH("\"size\":2048") },
    { "a model that is a list",                 WITH("\"model\":[]") },
    { "no images",                              WITH("\"max_images\":0") },
    { "fewer than no images",                   WITH("\"max_images\":-1") },
    { "sixteen images",                         WITH("\"max_images\":16") },
    { "fifteen images and a link",              WITH("\"max_images\":15") },
    { "half an image",                          WITH("\"max_images\":1.5") },
    { "images as a real number",                WITH("\"max_images\":1.0") },
    { "images as a text",                       WITH("\"max_images\":\"1\"") },
    { "images beyond 64 bits",                  WITH("\"max_images\":18446744073709551617") },
    { "no paid calls",                          WITH("\"max_paid_calls\":0") },
    { "paid calls beyond an int",               WITH("\"max_paid_calls\":2147483648") },
    { "paid calls that wrap to one",            WITH("\"max_paid_calls\":4294967297") },
    { "a watermark that is a number",           WITH("\"watermark\":1") },
    { "a watermark that is null",               WITH("\"watermark\":null") },
    { "a watermark that is a text",             WITH("\"watermark\":\"true\"") },
    { "a seed that is a real number",           WITH("\"seed\":1e3") },
    { "a seed beyond 64 bits",                  WITH("\"seed\":9223372036854775808") },
    { "a seed that is a text",                  WITH("\"seed\":\"1\"") },
    { "an unknown background",                  WITH("\"background\":\"white\"") },
    { "an empty background",                    WITH("\"background\":\"\"") },
    { "a format that is a number",              WITH("\"output_format\":1") },
    { "a mode that is null",                    WITH("\"optimize_prompt\":null") },
    { "a guidance scale of 0",                  WITH("\"guidance_scale\":0") },
    { "a guidance scale that is too precise",   WITH("\"guidance_scale\":1.001") },
    { "a guidance scale of 1e308",              WITH("\"guidance_scale\":1e308") },
    { "layers that are a number",               WITH("\"layers\":1") },
    { "a search that is a text",                WITH("\"web_search\":\"true\"") },
    { "a good field, then a bad one",           WITH("\"prompt\":\"x\",\"size\":\"2K\",\"model\":1") },
};
/* clang-format on */

static void test_invalid_specs_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct task_spec spec = {.url_count = 77};

        print_message("  %s\n", bad[i].name);
        assert_int_equal(task_spec_read(bad[i].json, bad[i].len, &spec), ERR_SYNTAX);
        assert_int_equal(spec.url_count, 77);
    }
}

static void test_truncated_specs_are_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(everything) - 1; len++) {
        struct task_spec spec;

        assert_int_equal(task_spec_read(everything, len, &spec), ERR_SYNTAX);
    }
}

/* Reads a spec whose `key` is `unit` repeated `count` times. */
static int read_long(const char *before, const char *unit, size_t count, const char *after)
{
    struct task_spec spec = {0};
    struct buf json;
    int err;

    buf_init(&json, 1 << 20);
    buf_add_text(&json, before);
    for (size_t i = 0; i < count; i++)
        buf_add_text(&json, unit);
    buf_add_text(&json, after);
    err = task_spec_read(json.data, json.len, &spec);
    task_spec_deinit(&spec);
    buf_deinit(&json);
    return err;
}

static void test_lengths(void **state)
{
    static const char prompt[] = "{\"urls\":[\"u\"],\"prompt\":\"", model[] = "{\"urls\":[\"u\"],\"model\":\"";
    static const char size[] = "{\"urls\":[\"u\"],\"size\":\"";

    (void)state;
    assert_int_equal(read_long(prompt, "图", TASK_PROMPT_MAX, "\"}"), 0); /* characters, not bytes */
    assert_int_equal(read_long(prompt, "图", TASK_PROMPT_MAX + 1, "\"}"), ERR_SYNTAX);
    assert_int_equal(read_long(model, "m", TASK_NAME_MAX, "\"}"), 0);
    assert_int_equal(read_long(model, "m", TASK_NAME_MAX + 1, "\"}"), ERR_SYNTAX);
    assert_int_equal(read_long(size, "1", TASK_NAME_MAX + 1, "\"}"), ERR_SYNTAX);
    assert_int_equal(read_long("{\"urls\":[\"", "u", TASK_URL_MAX, "\"]}"), 0);
    assert_int_equal(read_long("{\"urls\":[\"", "u", TASK_URL_MAX + 1, "\"]}"), ERR_SYNTAX);
    assert_int_equal(read_long("{\"urls\":[\"data:image/png;base64,", "A", 100000, "\"]}"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields_are_written),
        cmocka_unit_test(test_absent_fields_are_not_written),
        cmocka_unit_test(test_a_webhook_is_written_and_read),
        cmocka_unit_test(test_damaged_webhooks_are_refused),
        cmocka_unit_test(test_invalid_utf8_is_not_written),
        cmocka_unit_test(test_all_fields_are_read),
        cmocka_unit_test(test_absent_fields_are_read_as_absent),
        cmocka_unit_test(test_round_trips_keep_every_byte),
        cmocka_unit_test(test_the_order_of_the_fields_does_not_change_the_hash),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_invalid_specs_are_refused),
        cmocka_unit_test(test_truncated_specs_are_refused),
        cmocka_unit_test(test_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
