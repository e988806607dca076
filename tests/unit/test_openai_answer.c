/* Answers, events and errors in OpenAI's form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "gateway/api/openai/answer.h"
#include "gateway/api/openai/error.h"

enum { TEXT_MAX = 64 * 1024, RESULTS_MAX = 4 };

#define LINK  "https://ark.example/a.jpeg?X-Tos-Signature=1"
#define USAGE "\"usage\":{\"generated_images\":1,\"output_tokens\":100,\"total_tokens\":100}"
#define ONE   "{\"generated_images\":[{\"index\":0,\"url\":\"" LINK "\",\"size\":\"1x2\"}]," USAGE "}"
#define BIG                                                                                                            \
    "{\"generated_images\":[{\"index\":0,\"url\":\"u\",\"size\":\"1x2\"}],\"usage\":{\"output_tokens\":9000000000000000000,\"total_tokens\":9000000000000000000}}"
#define REFUSED                                                                                                        \
    "{\"index\":1,\"error\":{\"message\":\"no\",\"type\":\"image_generation_user_error\",\"param\":null,\"code\":\"ark_content_refused\",\"charged\":\"no\"}}"
#define TOKENS(n)                                                                                                          \
    ",\"usage\":{\"input_tokens\":0,\"input_tokens_details\":{\"image_tokens\":0,\"text_tokens\":0},\"output_tokens\":" #n \
    ",\"total_tokens\":" #n "}"

/* clang-format off */
static const struct { const char *name; const char *done[RESULTS_MAX]; size_t count; enum openai_format format; const char *want; bool png; } answers[] = {
    { "one link", {ONE}, 1, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"" LINK "\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"" TOKENS(100) "}", false },
    { "two tasks, the same size", {ONE, ONE}, 2, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"" LINK "\"},{\"url\":\"" LINK "\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"" TOKENS(200) "}", false },
    { "a group with two sizes", {"{\"generated_images\":[{\"index\":0,\"url\":\"u\",\"size\":\"1x2\"},{\"index\":2,\"url\":\"v\",\"size\":\"2x1\"}]," USAGE "}"}, 1, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"u\"},{\"url\":\"v\"}],\"output_format\":\"jpeg\"" TOKENS(100) "}", false },
    { "no usage of one task", {ONE, "{\"generated_images\":[{\"index\":0,\"url\":\"u\",\"size\":\"1x2\"}]}"}, 2, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"" LINK "\"},{\"url\":\"u\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"}", false },
    { "one of two failed", {ONE, NULL}, 2, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"" LINK "\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"" TOKENS(100) ",\"errors\":[" REFUSED "]}", false },
    { "base64 of a data URL", {"{\"generated_images\":[{\"index\":0,\"url\":\"data:image/png;base64,QUJD\",\"size\":\"1x2\"}]," USAGE "}"}, 1, OPENAI_B64_JSON,
      "{\"created\":1700000000,\"data\":[{\"b64_json\":\"QUJD\"}],\"output_format\":\"png\",\"size\":\"1x2\"" TOKENS(100) "}", false },
    { "a data URL as a link", {"{\"generated_images\":[{\"index\":0,\"url\":\"data:image/jpeg;base64,QUJD\",\"size\":\"1x2\"}]}"}, 1, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"data:image/jpeg;base64,QUJD\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"}", false },
    { "more tokens than an int64_t can add", {BIG, BIG}, 2, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"u\"},{\"url\":\"u\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"}", false },
    { "fewer tokens in total than of the output", {"{\"generated_images\":[{\"index\":0,\"url\":\"u\",\"size\":\"1x2\"}],\"usage\":{\"output_tokens\":2,\"total_tokens\":1}}"}, 1, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"u\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"}", false },
    { "a link that shows no format", {"{\"generated_images\":[{\"index\":0,\"url\":\"/p/20261208/0a\",\"size\":\"1x2\"}]}"}, 1, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"/p/20261208/0a\"}],\"output_format\":\"png\",\"size\":\"1x2\"}", true },
    { "a link of jpeg, though png was asked for", {"{\"generated_images\":[{\"index\":0,\"url\":\"u.jpg?a=.png\",\"size\":\"1x2\"}]}"}, 1, OPENAI_URL,
      "{\"created\":1700000000,\"data\":[{\"url\":\"u.jpg?a=.png\"}],\"output_format\":\"jpeg\",\"size\":\"1x2\"}", true },
};

static const struct { const char *name; struct openai_failure failure; int status; bool retry; } failures[] = {
    { "refused content",             {"ark_content_refused", "m", "no", false},  400, false },
    { "a refused request",           {"ark_invalid_request", "m", "no", false},  400, false },
    { "busy, and nothing charged",   {"ark_rate_limited", "m", "no", true},      429, true },
    { "overloaded",                  {"ark_overloaded", "m", "no", true},        503, true },
    { "too long in the queue",       {"expired", "m", "no", true},               503, true },
    { "busy, but charged",           {"ark_overloaded", "m", "unknown", false},  424, false },
    { "the outcome is not known",    {"outcome_unknown", "m", "unknown", false}, 424, false },
    { "the operator's key is wrong", {"ark_unauthorized", "m", "no", false},     424, false },
    { "cancelled",                   {"cancelled", "m", "no", true},             424, false },
    { "a code of a later version",   {"new_code", "m", "no", false},             424, false },
    { "gone from Redis",             {"task_not_found", "m", "unknown", false},  404, false },
};
/* clang-format on */

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct openai_result results[RESULTS_MAX] = {0};
        const struct openai_answer answer = {results, answers[i].count, answers[i].format, 1700000000123,
                                             answers[i].png};
        json_t *done[RESULTS_MAX] = {0};
        struct buf out;

        for (size_t k = 0; k < answers[i].count; k++) {
            done[k] = answers[i].done[k] ? json_loads(answers[i].done[k], 0, NULL) : NULL;
            results[k] = (struct openai_result){
                done[k], {"ark_content_refused", "no", "no", false}
            };
        }
        buf_init(&out, TEXT_MAX);
        openai_answer_write(&out, &answer);
        if (strcmp(buf_text(&out), answers[i].want) != 0)
            fail_msg("%s: %s", answers[i].name, buf_text(&out));
        buf_deinit(&out);
        for (size_t k = 0; k < answers[i].count; k++)
            json_decref(done[k]);
    }
}

/* What OpenAI's Python SDK needs: no id, and data in every block. */
static void test_events(void **state)
{
    static const char want[] =
        "event: image_generation.completed\n"
        "data: {\"type\":\"image_generation.completed\",\"url\":\"" LINK
        "\",\"background\":\"opaque\",\"created_at\":1700000000,\"output_format\":\"jpeg\",\"quality\":\"auto\","
        "\"size\":\"1x2\",\"task\":1,\"index\":0}\n\n"
        "event: image_generation.failed\n"
        "data: {\"type\":\"image_generation.failed\",\"task\":1,\"failure\":{\"message\":\"m\",\"type\":\"server_error\","
        "\"param\":null,\"code\":\"outcome_unknown\",\"charged\":\"unknown\"}}\n\n"
        "event: error\n"
        "data: {\"type\":\"error\",\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,"
        "\"code\":\"outcome_unknown\",\"charged\":\"unknown\"}}\n\n";
    const struct openai_event event = {OPENAI_URL, 1700000000123, 1, false, false, true};
    const struct openai_failure failure = {"outcome_unknown", "m", "unknown", false};
    json_t *image = json_pack("{s:i,s:s,s:s}", "index", 0, "url", LINK, "size", "1x2");
    struct buf out;

    (void)state;
    buf_init(&out, TEXT_MAX);
    openai_event_write_image(&out, &event, image);
    openai_event_write_failed(&out, &event, &failure);
    openai_event_write_error(&out, &failure);
    assert_string_equal(buf_text(&out), want);
    buf_deinit(&out);
    json_decref(image);
}

static void test_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(failures); i++) {
        if (openai_failure_status(&failures[i].failure) != failures[i].status)
            fail_msg("%s: %d", failures[i].name, openai_failure_status(&failures[i].failure));
        if (openai_failure_should_retry(&failures[i].failure) != failures[i].retry)
            fail_msg("%s: retry", failures[i].name);
    }
}

/* Clients that do not know x-should-retry repeat a request after these statuses. */
static void test_no_failure_that_was_charged_has_a_status_that_clients_retry(void **state)
{
    (void)state;
    for (int problem = 0; problem < PROBLEM_COUNT; problem++) {
        const struct openai_failure failure = {problem_code((enum problem)problem), "m", "unknown", false};
        int status = openai_failure_status(&failure);

        assert_true(status >= 400 && status < 500 && status != 408 && status != 409 && status != 429);
    }
}

static void test_base(void **state)
{
    (void)state;
    assert_true(openai_is_below_base((struct http_text){"/v1/images", 10}));
    assert_true(openai_is_below_base((struct http_text){"/v1", 3}));
    assert_false(openai_is_below_base((struct http_text){"/v10", 4}));
    assert_false(openai_is_below_base((struct http_text){"/v", 2}));
    assert_false(openai_is_below_base((struct http_text){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_no_failure_that_was_charged_has_a_status_that_clients_retry),
        cmocka_unit_test(test_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
