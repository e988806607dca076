#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/utf8.h"
#include "gateway/request/validate.h"
#include "tests/support/builtin_catalogue.h"

#define U   "\"urls\":[\"https://example.com/a.jpg\"]"
#define T   "\"task_id\":\"t1\""
#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X16 "xxxxxxxxxxxxxxxx"

static const struct request_defaults defaults = {.model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
static struct validate_rules rules = {
    .defaults = &defaults, .max_paid_calls = 5, .id_required = true, .for_stream = true};

static int check(const char *body, const struct validate_rules *with, struct validate_errors *errors)
{
    struct validated out = {0};
    int err = validate_body(body, strlen(body), with, &out, errors);

    task_spec_deinit(&out.spec);
    return err;
}

/* clang-format off */
static const struct { const char *name, *body; } good[] = {
    { "only the two required fields",  "{" U "," T "}" },
    { "white space around the body",                   " \r\n\t{" U "," T "}\n" },
    { "a byte order mark",             "\xef\xbb\xbf{" U "," T "}" },
    { "every field",                             "{" U "," T ",\"prompt\":\"p\",\"size\":\"2K\",\"max_images\":3,\"watermark\":false,"
                                                 "\"model\":\"doubao-seedream-4-0-250828\",\"seed\":7,\"max_paid_calls\":1}" },
    { "14 links and one image",                  "{\"urls\":[\"https://a.example.com\",\"https://a.example.com\",\"https://a.example.com\","
                                                 "\"https://a.example.com\",\"https://a.example.com\",\"https://a.example.com\",\"https://a.example.com\","
                                                 "\"https://a.example.com\",\"https://a.example.com\",\"https://a.example.com\",\"https://a.example.com\","
                                                 "\"https://a.example.com\",\"https://a.example.com\",\"https://a.example.com\"]," T ",\"max_images\":1}" },
    { "a text and no links",                     "{\"prompt\":\"a red bicycle\"," T "}" },
    { "a text and an empty list",                "{\"prompt\":\"a red bicycle\",\"urls\":[]," T "}" },
    { "15 images from a text",                   "{\"prompt\":\"p\",\"max_images\":15," T "}" },
    { "14 images with one link",                 "{" U "," T ",\"max_images\":14}" },
    { "the lowest seed",                         "{" U "," T ",\"seed\":-1}" },
    { "the highest seed",                        "{" U "," T ",\"seed\":2147483647}" },
    { "the maximum of paid calls",   "{" U "," T ",\"max_paid_calls\":5}" },
    { "a prompt with escapes and controls",      "{" U "," T ",\"prompt\":\"a\\u001b[0m \\u202e \\n \\ud83d\\ude00\"}" },
    { "brackets in a string are not nesting",     "{" U "," T ",\"prompt\":\"[[[[[[[[[[[[[[[[[[[[{{{{{{{{\\\"[[[[\"}" },
    { "a size in pixels",                        "{" U "," T ",\"size\":\"2048x2048\"}" },
    { "the widest size",                         "{" U "," T ",\"size\":\"8192x512\"}" },
    { "the smallest size of 4.0",                "{" U "," T ",\"size\":\"1280x720\"}" },
    { "a size that only ARK can judge",          "{" U "," T ",\"size\":\"14x14\",\"model\":\"ep-20260101120000-abcde\"}" },
    { "the largest area",                        "{" U "," T ",\"size\":\"4096x4096\"}" },
    { "a size that is a keyword with a point",   "{" U "," T ",\"size\":\"1.5K\",\"model\":\"doubao-seedream-5-0-pro-260628\"}" },
    { "every parameter of ARK",                "{" U "," T ",\"size\":\"2K\",\"model\":\"ep-20260101120000-abcde\",\"output_format\":\"png\","
                                                 "\"optimize_prompt\":\"fast\",\"web_search\":true,\"guidance_scale\":2.55,\"background\":\"transparent\","
                                                 "\"layers\":false}" },
    { "values that every model accepts",     "{" U "," T ",\"output_format\":\"jpeg\",\"optimize_prompt\":\"standard\",\"web_search\":false,"
                                                 "\"background\":\"opaque\",\"layers\":false,\"seed\":-1,\"max_images\":1}" },
    { "the longest task_id",                     "{" U ",\"task_id\":\"" X32 X32 X32 X32 "\"}" },
};

static const struct { const char *name, *body; } not_json[] = {
    { "empty",                            "" },
    { "only spaces",                      "   " },
    { "only a byte order mark",           "\xef\xbb\xbf" },
    { "half a byte order mark",           "\xef\xbb{" U "," T "}" },
    { "two byte order marks",             "\xef\xbb\xbf\xef\xbb\xbf{" U "," T "}" },
    { "a byte order mark at the end",      "{" U "," T "}\xef\xbb\xbf" },
    { "a list",                           "[{" U "," T "}]" },
    { "a number",                         "1" },
    { "a string",                         "\"x\"" },
    { "null",                             "null" },
    { "two objects",                      "{" U "," T "}{}" },
    { "a name twice",                     "{" U "," T "," T "}" },
    { "a name twice, one escaped",        "{" U "," T ",\"task\\u005fid\":\"t1\"}" },
    { "NaN",                              "{" U "," T ",\"seed\":NaN}" },
    { "a leading zero",                   "{" U "," T ",\"seed\":01}" },
    { "a hexadecimal number",             "{" U "," T ",\"seed\":0x1}" },
    { "a number beyond 64 bits",          "{" U "," T ",\"seed\":9223372036854775808}" },
    { "a trailing comma",                 "{" U "," T ",}" },
    { "a comment",                        "{" U "," T "/* */}" },
    { "single quotes",                    "{'urls':[]}" },
    { "a lone surrogate",                 "{" U "," T ",\"prompt\":\"\\ud800\"}" },
    { "a surrogate in UTF-8",             "{" U "," T ",\"prompt\":\"\xed\xa0\x80\"}" },
    { "an overlong form",                 "{" U "," T ",\"prompt\":\"\xc0\xaf\"}" },
    { "a byte that is not UTF-8",          "{" U "," T ",\"prompt\":\"\xff\"}" },
    { "NUL, escaped",                     "{" U "," T ",\"prompt\":\"a\\u0000b\"}" },
    { "NUL, escaped, in a name",          "{" U "," T ",\"pro\\u0000mpt\":\"a\"}" },
    { "a line end in a string",           "{" U "," T ",\"prompt\":\"a\nb\"}" },
    { "17 levels",                        "{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}" },
    { "many levels that never end",       "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[" },
    { "levels after an escaped quote",   "{\"a\\\"\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}" },
    { "an open string",                   "{\"urls" },
    { "an open escape",                   "{\"urls\\" },
};

static const struct { const char *name, *body, *pointer; } bad_fields[] = {
    { "no links",                       "{" T "}",                                        "/urls" },
    { "no links, and a prompt that is blank", "{" T ",\"prompt\":\" \"}",               "/prompt" },
    { "links that are null, with a prompt", "{\"urls\":null,\"prompt\":\"x\"," T "}", "/urls" },
    { "16 images from a text",          "{\"max_images\":16,\"prompt\":\"x\"," T "}",   "/max_images" },
    { "links that are null",            "{\"urls\":null," T "}",                          "/urls" },
    { "links that are a string",        "{\"urls\":\"https://example.com\"," T "}",       "/urls" },
    { "an empty list",                  "{\"urls\":[]," T "}",                            "/urls" },
    { "a link that is a number",        "{\"urls\":[1]," T "}",                           "/urls/0" },
    { "a second link that is bad",      "{\"urls\":[\"https://example.com\",\"ftp://x\"]," T "}", "/urls/1" },
    { "a private link",                 "{\"urls\":[\"http://127.0.0.1/\"]," T "}",       "/urls/0" },
    { "a data URL if they are disabled",  "{\"urls\":[\"data:image/png;base64,AAAA\"]," T "}", "/urls/0" },
    { "no task_id",                     "{" U "}",                                        "/task_id" },
    { "a task_id that is null",         "{" U ",\"task_id\":null}",                       "/task_id" },
    { "a task_id that is a number",     "{" U ",\"task_id\":1}",                          "/task_id" },
    { "an empty task_id",               "{" U ",\"task_id\":\"\"}",                       "/task_id" },
    { "a task_id that is a path",       "{" U ",\"task_id\":\"../x\"}",                   "/task_id" },
    { "a task_id with a space",         "{" U ",\"task_id\":\"a b\"}",                    "/task_id" },
    { "a task_id with a hash tag",      "{" U ",\"task_id\":\"{0}\"}",                    "/task_id" },
    { "a task_id with a star",          "{" U ",\"task_id\":\"*\"}",                      "/task_id" },
    { "a task_id in Chinese",           "{" U ",\"task_id\":\"任务\"}",                   "/task_id" },
    { "a task_id of 129 bytes",         "{" U ",\"task_id\":\"" X32 X32 X32 X32 "x\"}",   "/task_id" },
    { "an unknown on_disconnect",     "{" U "," T ",\"on_disconnect\":\"stop\"}",       "/on_disconnect" },
    { "on_disconnect in capitals",            "{" U "," T ",\"on_disconnect\":\"Cancel\"}",     "/on_disconnect" },
    { "an empty on_disconnect",          "{" U "," T ",\"on_disconnect\":\"\"}",           "/on_disconnect" },
    { "on_disconnect that is null",           "{" U "," T ",\"on_disconnect\":null}",           "/on_disconnect" },
    { "on_disconnect that is true",           "{" U "," T ",\"on_disconnect\":true}",           "/on_disconnect" },
    { "an unknown field",               "{" U "," T ",\"foo\":1}",                        "/foo" },
    { "a field in capitals",            "{" U "," T ",\"Prompt\":\"x\"}",                 "/Prompt" },
    { "an unknown name to be escaped",  "{" U "," T ",\"a/b~c\":1}",                      "/a~1b~0c" },
    { "an unknown empty name",          "{" U "," T ",\"\":1}",                           "/" },
    { "a long unknown name is cut",     "{" U "," T ",\"" X32 X32 X32 "\":1}",            "/" X32 X16 "xxxxxxxxxxxxxxx..." },
    { "a prompt that is null",          "{" U "," T ",\"prompt\":null}",                  "/prompt" },
    { "a prompt that is a number",      "{" U "," T ",\"prompt\":1}",                     "/prompt" },
    { "an empty prompt",                "{" U "," T ",\"prompt\":\"\"}",                  "/prompt" },
    { "a blank prompt",                 "{" U "," T ",\"prompt\":\" \\t\\n\"}",           "/prompt" },
    { "a prompt of ideographic spaces", "{" U "," T ",\"prompt\":\"　 　\"}",             "/prompt" },
    { "an unknown size",                "{" U "," T ",\"size\":\"5K\"}",                  "/size" },
    { "a size in small letters",        "{" U "," T ",\"size\":\"2k\"}",                  "/size" },
    { "a size of zero pixels",              "{" U "," T ",\"size\":\"0x0\"}",                 "/size" },
    { "a size with leading zeros",      "{" U "," T ",\"size\":\"01024x1024\"}",          "/size" },
    { "a size with a capital X",        "{" U "," T ",\"size\":\"1024X1024\"}",           "/size" },
    { "a size with a space",            "{" U "," T ",\"size\":\"1024x1024 \"}",          "/size" },
    { "a size with three numbers",          "{" U "," T ",\"size\":\"64x64x64\"}",            "/size" },
    { "a size without a height",        "{" U "," T ",\"size\":\"1024x\"}",               "/size" },
    { "a size that is too wide",        "{" U "," T ",\"size\":\"8192x511\"}",            "/size" },
    { "a size that is too high",        "{" U "," T ",\"size\":\"14x8192\"}",             "/size" },
    { "a size with too many pixels",    "{" U "," T ",\"size\":\"4097x4096\"}",           "/size" },
    { "a side that is too long",        "{" U "," T ",\"size\":\"99999x1\"}",             "/size" },
    { "a side below the smallest",      "{" U "," T ",\"size\":\"13x14\"}",               "/size" },
    { "a size that is a number",        "{" U "," T ",\"size\":2}",                       "/size" },
    { "an unknown output format",     "{" U "," T ",\"output_format\":\"webp\"}",       "/output_format" },
    { "an output format that is null",  "{" U "," T ",\"output_format\":null}",           "/output_format" },
    { "an output format in capitals",   "{" U "," T ",\"output_format\":\"PNG\"}",        "/output_format" },
    { "an unknown mode",                "{" U "," T ",\"optimize_prompt\":\"slow\"}",     "/optimize_prompt" },
    { "a mode that is an object",       "{" U "," T ",\"optimize_prompt\":{\"mode\":\"fast\"}}", "/optimize_prompt" },
    { "web_search that is a string",        "{" U "," T ",\"web_search\":\"true\"}",          "/web_search" },
    { "web_search that is a number",      "{" U "," T ",\"web_search\":1}",                 "/web_search" },
    { "a scale below 1",                "{" U "," T ",\"guidance_scale\":0.99}",          "/guidance_scale" },
    { "a scale above 10",               "{" U "," T ",\"guidance_scale\":10.01}",         "/guidance_scale" },
    { "a scale of three decimals",      "{" U "," T ",\"guidance_scale\":2.555}",         "/guidance_scale" },
    { "a scale of 1e300",     "{" U "," T ",\"guidance_scale\":1e300}",         "/guidance_scale" },
    { "a scale that is a string",         "{" U "," T ",\"guidance_scale\":\"5\"}",         "/guidance_scale" },
    { "an unknown background",          "{" U "," T ",\"background\":\"white\"}",         "/background" },
    { "layers that are a number",       "{" U "," T ",\"layers\":4}",                     "/layers" },
    { "png with 4.0",                     "{" U "," T ",\"output_format\":\"png\"}",        "/output_format" },
    { "web_search with 4.0",                "{" U "," T ",\"web_search\":true}",              "/web_search" },
    { "a scale with 4.0",                 "{" U "," T ",\"guidance_scale\":2.5}",           "/guidance_scale" },
    { "layers with 4.0",                  "{" U "," T ",\"layers\":true}",                  "/layers" },
    { "a background with 4.0",            "{" U "," T ",\"background\":\"transparent\"}",   "/background" },
    { "no images",                      "{" U "," T ",\"max_images\":0}",                 "/max_images" },
    { "a negative image count",           "{" U "," T ",\"max_images\":-1}",                "/max_images" },
    { "an image count with a decimal point",    "{" U "," T ",\"max_images\":1.0}",               "/max_images" },
    { "an image count with exponent",   "{" U "," T ",\"max_images\":1e1}",               "/max_images" },
    { "too many images",                "{" U "," T ",\"max_images\":16}",                "/max_images" },
    { "too many images for the links",  "{" U "," T ",\"max_images\":15}",                "/max_images" },
    { "an image count that is text",    "{" U "," T ",\"max_images\":\"1\"}",             "/max_images" },
    { "an image count that is true",    "{" U "," T ",\"max_images\":true}",              "/max_images" },
    { "a watermark that is 1",          "{" U "," T ",\"watermark\":1}",                  "/watermark" },
    { "a watermark that is text",       "{" U "," T ",\"watermark\":\"true\"}",           "/watermark" },
    { "a model with a slash",           "{" U "," T ",\"model\":\"a/b\"}",                "/model" },
    { "an empty model",                 "{" U "," T ",\"model\":\"\"}",                   "/model" },
    { "a model that is null",           "{" U "," T ",\"model\":null}",                   "/model" },
    { "a seed below the lowest",        "{" U "," T ",\"seed\":-2}",                      "/seed" },
    { "a seed above the highest",       "{" U "," T ",\"seed\":2147483648}",              "/seed" },
    { "a seed with a point",            "{" U "," T ",\"seed\":1.5}",                     "/seed" },
    { "no paid call",                   "{" U "," T ",\"max_paid_calls\":0}",             "/max_paid_calls" },
    { "more paid calls than allowed",   "{" U "," T ",\"max_paid_calls\":6}",             "/max_paid_calls" },
};

static const struct { const char *name, *body, *key, *pointer, *task_id; bool optional; } keys[] = {
    { "a key in place of task_id",        "{" U "}",                  "k1",   NULL,       "k1", false },
    { "both, the same",                   "{" U "," T "}",            "t1",   NULL,       "t1", false },
    { "both, different",                  "{" U "," T "}",            "t2",   "/task_id", NULL, false },
    { "both, one a prefix",               "{" U "," T "}",            "t",    "/task_id", NULL, false },
    { "a key that is not a valid task_id",         "{" U "}",                  "a b",  "/task_id", NULL, false },
    { "an empty key",                     "{" U "}",                  "",     "/task_id", NULL, false },
    { "a valid key with an invalid task_id",  "{" U ",\"task_id\":1}",    "k1",   "/task_id", NULL, false },
    { "neither, if it is optional",    "{" U "}",                  NULL,   NULL,       "",   true },
    { "an invalid id, if it is optional",   "{" U ",\"task_id\":\"\"}", NULL,   "/task_id", NULL, true },
};
/* clang-format on */

static void test_valid_bodies_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct validate_errors errors;

        print_message("  %s\n", good[i].name);
        assert_int_equal(check(good[i].body, &rules, &errors), 0);
        assert_int_equal(errors.count, 0);
    }
}

static void test_invalid_json_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(not_json); i++) {
        struct validate_errors errors;

        print_message("  %s\n", not_json[i].name);
        assert_int_equal(check(not_json[i].body, &rules, &errors), ERR_SYNTAX);
        assert_true(*errors.syntax);
    }
}

/* clang-format off */
static const struct { const char *name, *body, *want; } syntax_errors[] = {
    { "an extra comma",            "{\"urls\":[\"u\"],}",      "The body is not valid JSON: line 1, column 15." },
    { "in the third line",           "{\n \"size\":\n  2K}",     "The body is not valid JSON: line 3, column 4." },
    { "columns are characters",      "{\"prompt\":\"图像\" x}",  "The body is not valid JSON: line 1, column 16." },
    { "a truncated body",          "{\"prompt\":\"two",         "The body is not valid JSON: line 1, column 14." },
    { "a name twice",                "{\"size\":1,\"size\":2}",    "The body has a name twice in one object: line 1, column 16." },
    { "not an object",                   "[]",                       "The body is JSON, but not an object." },
    { "after a byte order mark",     "\xef\xbb\xbf{,}",          "The body is not valid JSON: line 1, column 2." },
};
/* clang-format on */

static void test_the_position_of_a_syntax_error_is_reported(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(syntax_errors); i++) {
        struct validate_errors errors;

        print_message("  %s\n", syntax_errors[i].name);
        assert_int_equal(check(syntax_errors[i].body, &rules, &errors), ERR_SYNTAX);
        assert_string_equal(errors.syntax, syntax_errors[i].want);
    }
}

static void test_a_raw_nul_byte_is_refused(void **state)
{
    static const char inside[] = "{" U "," T ",\"prompt\":\"a\0b\"}";
    static const char after[] = "{" U "," T "}\0";
    struct validate_errors errors;
    struct validated out;

    (void)state;
    assert_int_equal(validate_body(inside, sizeof(inside) - 1, &rules, &out, &errors), ERR_SYNTAX);
    assert_int_equal(validate_body(after, sizeof(after) - 1, &rules, &out, &errors), ERR_SYNTAX);
}

static void test_each_invalid_field_is_named_by_its_pointer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad_fields); i++) {
        struct validate_errors errors;

        print_message("  %s\n", bad_fields[i].name);
        assert_int_equal(check(bad_fields[i].body, &rules, &errors), ERR_RANGE);
        assert_int_equal(errors.count, 1);
        assert_string_equal(errors.fields[0].pointer, bad_fields[i].pointer);
        assert_true(strlen(errors.fields[0].detail) > 0);
        assert_true(strlen(errors.fields[0].detail) < VALIDATE_DETAIL_SIZE - 1); /* not cut */
    }
}

static void test_task_id_and_idempotency_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        struct validate_rules with = {.defaults = &defaults,
                                      .catalogue = builtin_catalogue(),
                                      .max_paid_calls = 5,
                                      .id_required = !keys[i].optional};
        struct validate_errors errors;
        struct validated out = {0};
        int err;

        print_message("  %s\n", keys[i].name);
        with.key = keys[i].key;
        with.key_len = keys[i].key ? strlen(keys[i].key) : 0;
        err = validate_body(keys[i].body, strlen(keys[i].body), &with, &out, &errors);
        assert_int_equal(err, keys[i].pointer ? ERR_RANGE : 0);
        if (keys[i].pointer) {
            assert_int_equal(errors.count, 1);
            assert_string_equal(errors.fields[0].pointer, keys[i].pointer);
        } else {
            assert_string_equal(out.task_id, keys[i].task_id);
        }
        task_spec_deinit(&out.spec);
    }
}

/* clang-format off */
static const struct { const char *name, *fields; enum validate_webhooks webhooks; bool has_default; const char *pointer; unsigned events; } webhooks[] = {
    { "a URL",                          "\"webhook\":\"https://a.example.com/\"", WEBHOOKS_PUBLIC, false, NULL, 0 },
    { "events of the default webhook",  "\"webhook_events\":[\"image\"]", WEBHOOKS_PUBLIC, true, NULL, TASK_ON_IMAGE },
    { "all events, in any order",       "\"webhook\":\"https://a.example.com/\",\"webhook_events\":[\"final\",\"start\",\"image\"]", WEBHOOKS_PUBLIC, false,
      NULL, TASK_EVENTS_ALL },
    { "a host inside, where allowed",   "\"webhook\":\"http://10.0.0.1/\"", WEBHOOKS_ANY_HOST, false, NULL, 0 },
    { "a host inside",                  "\"webhook\":\"http://10.0.0.1/\"", WEBHOOKS_PUBLIC, false, "/webhook", 0 },
    { "a server without webhooks",      "\"webhook\":\"https://a.example.com/\"", WEBHOOKS_OFF, false, "/webhook", 0 },
    { "no string",                      "\"webhook\":{\"url\":\"https://a.example.com/\"}", WEBHOOKS_PUBLIC, false, "/webhook", 0 },
    { "null",                           "\"webhook\":null", WEBHOOKS_PUBLIC, false, "/webhook", 0 },
    { "events without a receiver",      "\"webhook_events\":[\"final\"]", WEBHOOKS_PUBLIC, false, "/webhook_events", 0 },
    { "no events",                      "\"webhook\":\"https://a.example.com/\",\"webhook_events\":[]", WEBHOOKS_PUBLIC, false, "/webhook_events", 0 },
    { "an unknown event",               "\"webhook\":\"https://a.example.com/\",\"webhook_events\":[\"done\"]", WEBHOOKS_PUBLIC, false, "/webhook_events", 0 },
    { "an event twice",                 "\"webhook\":\"https://a.example.com/\",\"webhook_events\":[\"final\",\"final\"]", WEBHOOKS_PUBLIC, false,
      "/webhook_events", 0 },
    { "events as a text",               "\"webhook\":\"https://a.example.com/\",\"webhook_events\":\"final\"", WEBHOOKS_PUBLIC, false, "/webhook_events", 0 },
};
/* clang-format on */

static void test_webhooks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(webhooks); i++) {
        struct validate_rules with = {.defaults = &defaults,
                                      .catalogue = builtin_catalogue(),
                                      .webhooks = webhooks[i].webhooks,
                                      .has_default_webhook = webhooks[i].has_default};
        struct validate_errors errors;
        struct validated out = {0};
        char body[512];
        int len = snprintf(body, sizeof(body), "{" U "," T ",%s}", webhooks[i].fields);
        int err = validate_body(body, (size_t)len, &with, &out, &errors);

        print_message("  %s\n", webhooks[i].name);
        assert_int_equal(err, webhooks[i].pointer ? ERR_RANGE : 0);
        if (webhooks[i].pointer) {
            assert_int_equal(errors.count, 1);
            assert_string_equal(errors.fields[0].pointer, webhooks[i].pointer);
        } else {
            assert_int_equal(out.spec.webhook_events, webhooks[i].events);
        }
        task_spec_deinit(&out.spec);
    }
}

static void test_no_links_and_an_empty_list_are_the_same_request(void **state)
{
    static const char *const bodies[] = {"{\"prompt\":\"p\"," T "}", "{\"urls\":[],\"prompt\":\"p\"," T "}"};
    struct validate_errors report;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
        struct validated out;
        char *json;

        assert_int_equal(validate_body(bodies[i], strlen(bodies[i]), &rules, &out, &report), 0);
        assert_int_equal(out.spec.url_count, 0);
        assert_int_equal(task_spec_write(&out.spec, &json), 0);
        assert_string_equal(json, "{\"prompt\":\"p\",\"urls\":[]}");
        free(json);
        task_spec_deinit(&out.spec);
    }
}

static void test_all_fields_are_read(void **state)
{
    static const char body[] =
        "{\"urls\":[\"https://a.example.com/1\",\"https://b.example.com/2\"],\"task_id\":\"t-1\","
        "\"prompt\":\"换脸\",\"size\":\"1024x768\",\"max_images\":4,\"watermark\":false,"
        "\"model\":\"m-1\",\"seed\":0,\"max_paid_calls\":3}";
    struct validate_errors errors;
    struct validated out;

    (void)state;
    assert_int_equal(validate_body(body, sizeof(body) - 1, &rules, &out, &errors), 0);
    assert_string_equal(out.task_id, "t-1");
    assert_int_equal(out.spec.url_count, 2);
    assert_string_equal(out.spec.urls[0], "https://a.example.com/1");
    assert_string_equal(out.spec.urls[1], "https://b.example.com/2");
    assert_string_equal(out.spec.prompt, "换脸");
    assert_string_equal(out.spec.size, "1024x768");
    assert_string_equal(out.spec.model, "m-1");
    assert_int_equal(out.spec.max_images, 4);
    assert_int_equal(out.spec.max_paid_calls, 3);
    assert_true(out.spec.watermark_given);
    assert_false(out.spec.watermark);
    assert_true(out.spec.seed_given);
    assert_int_equal(out.spec.seed, 0);
    task_spec_deinit(&out.spec);
}

static void test_absent_fields_stay_unset(void **state)
{
    static const char body[] = "{" U "," T "}";
    struct validate_errors errors;
    struct validated out;

    (void)state;
    assert_int_equal(validate_body(body, sizeof(body) - 1, &rules, &out, &errors), 0);
    assert_null(out.spec.prompt);
    assert_null(out.spec.size);
    assert_null(out.spec.model);
    assert_int_equal(out.spec.max_images, 0);
    assert_int_equal(out.spec.max_paid_calls, 0);
    assert_false(out.spec.watermark_given);
    assert_false(out.spec.seed_given);
    task_spec_deinit(&out.spec);
}

static int check_prompt(size_t characters, const char *character)
{
    struct validate_errors errors;
    struct buf body;
    int err;

    buf_init(&body, 64 * 1024);
    buf_add_text(&body, "{" U "," T ",\"prompt\":\"");
    for (size_t i = 0; i < characters; i++)
        buf_add_text(&body, character);
    buf_add_text(&body, "\"}");
    assert_int_equal(buf_error(&body), 0);
    err = check(body.data, &rules, &errors);
    buf_deinit(&body);
    return err;
}

static void test_the_prompt_limit_counts_characters(void **state)
{
    (void)state;
    assert_int_equal(check_prompt(TASK_PROMPT_MAX, "a"), 0);
    assert_int_equal(check_prompt(TASK_PROMPT_MAX, "图"), 0);
    assert_int_equal(check_prompt(TASK_PROMPT_MAX, "😀"), 0);
    assert_int_equal(check_prompt(TASK_PROMPT_MAX + 1, "a"), ERR_RANGE);
    assert_int_equal(check_prompt(TASK_PROMPT_MAX + 1, "图"), ERR_RANGE);
}

static int check_urls(size_t count, int max_images)
{
    struct validate_errors errors;
    struct buf body;
    int err;

    buf_init(&body, 1024 * 1024);
    buf_addf(&body, "{" T ",\"max_images\":%d,\"urls\":[", max_images);
    for (size_t i = 0; i < count; i++)
        buf_addf(&body, "%s\"https://example.com/%zu\"", i ? "," : "", i);
    buf_add_text(&body, "]}");
    assert_int_equal(buf_error(&body), 0);
    err = check(body.data, &rules, &errors);
    buf_deinit(&body);
    return err;
}

static void test_links_and_images_together_are_at_most_fifteen(void **state)
{
    (void)state;
    for (size_t count = 1; count <= TASK_URLS_MAX; count++) { /* none: needs a prompt */
        assert_int_equal(check_urls(count, TASK_IMAGES_MAX - (int)count), 0);
        assert_int_equal(check_urls(count, TASK_IMAGES_MAX - (int)count + 1), ERR_RANGE);
    }
    assert_int_equal(check_urls(TASK_URLS_MAX + 1, 1), ERR_RANGE);
    assert_int_equal(check_urls(5000, 1), ERR_RANGE);
}

/* on_disconnect belongs to the connection, so the stored request is the same with and without it. */
static void test_on_disconnect_is_not_part_of_the_spec(void **state)
{
    static const struct {
        const char *body;
        enum on_disconnect on_disconnect;
    } rows[] = {
        {"{" U "," T "}",                                        ON_DISCONNECT_FINISH          },
        {"{" U "," T ",\"on_disconnect\":\"finish\"}",           ON_DISCONNECT_FINISH          },
        {"{" U "," T ",\"on_disconnect\":\"cancel_if_queued\"}", ON_DISCONNECT_CANCEL_IF_QUEUED},
        {"{\"on_disconnect\":\"cancel\"," U "," T "}",           ON_DISCONNECT_CANCEL          },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct validate_errors errors;
        struct validated out;
        char *request;

        assert_int_equal(validate_body(rows[i].body, strlen(rows[i].body), &rules, &out, &errors), 0);
        assert_int_equal(out.on_disconnect, rows[i].on_disconnect);
        assert_int_equal(task_spec_write(&out.spec, &request), 0);
        assert_string_equal(request, "{" U "}");
        free(request);
        task_spec_deinit(&out.spec);
    }
}

static void test_on_disconnect_is_refused_without_a_stream(void **state)
{
    const struct validate_rules no_stream = {
        .defaults = &defaults, .catalogue = builtin_catalogue(), .max_paid_calls = 5};
    struct validate_errors errors;

    (void)state;
    assert_int_equal(check("{" U ",\"on_disconnect\":\"finish\"}", &no_stream, &errors), ERR_RANGE);
    assert_int_equal(errors.count, 1);
    assert_string_equal(errors.fields[0].pointer, "/on_disconnect");
    assert_string_equal(errors.fields[0].detail, "is only for /generate/stream");
}

static void test_data_urls_are_accepted_if_enabled(void **state)
{
    const struct validate_rules with_data = {.defaults = &defaults,
                                             .catalogue = builtin_catalogue(),
                                             .max_paid_calls = 5,
                                             .data_urls = true,
                                             .id_required = true};
    struct validate_errors errors;

    (void)state;
    assert_int_equal(check("{\"urls\":[\"data:image/png;base64,AAAA\"]," T "}", &with_data, &errors), 0);
}

static void test_all_errors_are_reported_at_once(void **state)
{
    static const char *const pointers[] = {"/urls/0",    "/task_id", "/prompt", "/size", "/max_images",
                                           "/watermark", "/model",   "/seed",   "/foo",  "/max_paid_calls"};
    struct validate_errors errors;

    (void)state;
    assert_int_equal(check("{\"urls\":[\"x\"],\"task_id\":\"\",\"prompt\":\"\",\"size\":\"\",\"max_images\":0,"
                           "\"watermark\":0,\"model\":\"\",\"seed\":\"\",\"max_paid_calls\":0,\"foo\":0}",
                           &rules, &errors),
                     ERR_RANGE);
    assert_int_equal(errors.count, ARRAY_LENGTH(pointers));
    for (size_t i = 0; i < errors.count; i++) {
        bool found = false;

        for (size_t k = 0; k < errors.count; k++)
            found = found || strcmp(errors.fields[k].pointer, pointers[i]) == 0;
        assert_true(found);
    }
}

static void test_the_number_of_errors_is_limited(void **state)
{
    struct validate_errors errors;
    struct buf body;

    (void)state;
    buf_init(&body, 64 * 1024);
    buf_add_text(&body, "{" U "," T);
    for (int i = 0; i < 1000; i++)
        buf_addf(&body, ",\"f%d\":1", i);
    buf_add_char(&body, '}');
    assert_int_equal(check(body.data, &rules, &errors), ERR_RANGE);
    assert_int_equal(errors.count, VALIDATE_PROBLEMS_MAX);
    buf_deinit(&body);
}

/* Escapes double the length of a name. Names are cut before an incomplete character or escape. */
static void test_long_names_are_cut_between_characters(void **state)
{
    struct validate_errors errors;
    struct buf body;
    const char *pointer;

    (void)state;
    buf_init(&body, 64 * 1024);
    buf_add_text(&body, "{" U "," T ",\"abc");
    for (int i = 0; i < 100; i++)
        buf_add_text(&body, "😀");
    buf_add_text(&body, "\":1}");
    assert_int_equal(check(body.data, &rules, &errors), ERR_RANGE);
    pointer = errors.fields[0].pointer;
    assert_int_equal(strcmp(pointer + strlen(pointer) - 3, "..."), 0);
    assert_int_equal((strlen(pointer) - 4 - 3) % 4, 0);

    buf_clear(&body);
    buf_add_text(&body, "{" U "," T ",\"");
    for (int i = 0; i < 100; i++)
        buf_add_char(&body, '/');
    buf_add_text(&body, "\":1}");
    assert_int_equal(check(body.data, &rules, &errors), ERR_RANGE);
    pointer = errors.fields[0].pointer;
    assert_true(strlen(pointer) < VALIDATE_POINTER_SIZE);
    assert_int_equal(strcmp(pointer + strlen(pointer) - 5, "~1..."), 0);
    buf_deinit(&body);
}

/* Of any bytes, whatever the caller has checked. */
static void test_a_pointer_is_text_of_limited_length(void **state)
{
    struct pointer_row {
        const char *name, *pointer;
    } rows[] = {
        {"",           "/"       },
        {"a~b/c",      "/a~0b~1c"},
        {"图\x80\xff"
         "a", "/图??a" },
        {"\xe5\x9b",   "/??"     },
    };
    char name[129], pointer[VALIDATE_POINTER_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        validate_pointer(pointer, rows[i].name);
        assert_string_equal(pointer, rows[i].pointer);
    }
    for (int byte = 1; byte < 256; byte++) {
        memset(name, byte, sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        validate_pointer(pointer, name);
        assert_true(strlen(pointer) < sizeof(pointer) && utf8_is_valid(pointer, strlen(pointer)));
        assert_string_equal(pointer + strlen(pointer) - 3, "...");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pointer_is_text_of_limited_length),
        cmocka_unit_test(test_valid_bodies_are_accepted),
        cmocka_unit_test(test_invalid_json_is_refused),
        cmocka_unit_test(test_the_position_of_a_syntax_error_is_reported),
        cmocka_unit_test(test_a_raw_nul_byte_is_refused),
        cmocka_unit_test(test_each_invalid_field_is_named_by_its_pointer),
        cmocka_unit_test(test_task_id_and_idempotency_key),
        cmocka_unit_test(test_webhooks),
        cmocka_unit_test(test_no_links_and_an_empty_list_are_the_same_request),
        cmocka_unit_test(test_all_fields_are_read),
        cmocka_unit_test(test_absent_fields_stay_unset),
        cmocka_unit_test(test_the_prompt_limit_counts_characters),
        cmocka_unit_test(test_links_and_images_together_are_at_most_fifteen),
        cmocka_unit_test(test_on_disconnect_is_not_part_of_the_spec),
        cmocka_unit_test(test_on_disconnect_is_refused_without_a_stream),
        cmocka_unit_test(test_data_urls_are_accepted_if_enabled),
        cmocka_unit_test(test_all_errors_are_reported_at_once),
        cmocka_unit_test(test_the_number_of_errors_is_limited),
        cmocka_unit_test(test_long_names_are_cut_between_characters),
    };

    rules.catalogue = builtin_catalogue();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
