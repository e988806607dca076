#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/problem.h"

static void test_codes_are_unique_words(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const char *code = problem_code((enum problem)i);

        assert_true(*code);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz_"), strlen(code));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(code, problem_code((enum problem)k));
    }
}

/* 408, 429, 500 and 503 are retryable. With any other status the same request would fail again. */
static void test_statuses_agree_with_retryable(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        enum problem problem = (enum problem)i;
        int status = problem_status(problem);

        print_message("  %s\n", problem_code(problem));
        assert_true(status == 0 || (status >= 400 && status <= 599));
        if (status == 503 || status == 500 || status == 408 || status == 429)
            assert_true(problem_retryable(problem));
        else if (status != 0)
            assert_false(problem_retryable(problem));
        assert_true(*problem_title(problem));
        assert_null(strpbrk(problem_title(problem), "\"\\\n"));
    }
}

/* clang-format off */
static const struct { enum problem problem; int status; } statuses[] = {
    { PROBLEM_INVALID_JSON, 400 },      { PROBLEM_NOT_FOUND, 404 },       { PROBLEM_METHOD_NOT_ALLOWED, 405 },
    { PROBLEM_NOT_ACCEPTABLE, 406 },    { PROBLEM_TASK_ID_CONFLICT, 409 }, { PROBLEM_LENGTH_REQUIRED, 411 },
    { PROBLEM_BODY_TOO_LARGE, 413 },    { PROBLEM_URI_TOO_LONG, 414 },    { PROBLEM_CONTENT_TYPE, 415 },
    { PROBLEM_INVALID_FIELDS, 422 },    { PROBLEM_HEADERS_TOO_LARGE, 431 }, { PROBLEM_STORE_UNAVAILABLE, 503 },
    { PROBLEM_QUEUE_FULL, 503 },        { PROBLEM_QUEUE_PAUSED, 503 },    { PROBLEM_DRAINING, 503 },
    { PROBLEM_TASK_LIVE, 409 },         { PROBLEM_UNAUTHORIZED, 401 },    { PROBLEM_TASK_FINAL, 409 },
    { PROBLEM_CANCELLED, 0 },           { PROBLEM_OUTCOME_UNKNOWN, 0 },   { PROBLEM_POISON, 0 },
};
/* clang-format on */

static void test_the_statuses_of_the_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(statuses); i++)
        assert_int_equal(problem_status(statuses[i].problem), statuses[i].status);
}

static json_t *write_and_parse(const struct problem_details *details)
{
    struct buf buf;
    json_t *root;

    buf_init(&buf, 65536);
    problem_write(&buf, details);
    assert_int_equal(buf_error(&buf), 0);
    assert_null(strchr(buf_text(&buf), '\n'));
    root = json_loads(buf_text(&buf), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_deinit(&buf);
    return root;
}

static const char *text_of(const json_t *root, const char *key)
{
    return json_string_value(json_object_get(root, key));
}

static void test_every_problem_writes_valid_json(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        struct problem_details details = {.problem = (enum problem)i, .request_id = "r-1"};
        json_t *root = write_and_parse(&details);
        const char *title = problem_title(details.problem);

        assert_int_equal(strncmp(text_of(root, "type"), "urn:arkrelay:problem:", 21), 0);
        assert_string_equal(text_of(root, "type") + 21, problem_code(details.problem));
        assert_string_equal(text_of(root, "code"), problem_code(details.problem));
        assert_string_equal(text_of(root, "title"), title);
        if (problem_status(details.problem)) /* an answer: its detail says more than its title */
            assert_string_not_equal(text_of(root, "detail"), title);
        assert_true(*text_of(root, "detail"));
        assert_string_equal(text_of(root, "request_id"), "r-1");
        assert_int_equal(json_integer_value(json_object_get(root, "status")), problem_status(details.problem));
        assert_int_equal(json_is_true(json_object_get(root, "retryable")), problem_retryable(details.problem));
        assert_null(json_object_get(root, "errors"));
        json_decref(root);
    }
}

static void check_field_summary(const struct problem_field *fields, size_t count, const char *want)
{
    const struct problem_details details = {
        .problem = PROBLEM_INVALID_FIELDS, .request_id = "r", .fields = fields, .field_count = count};
    json_t *root = write_and_parse(&details);

    assert_string_equal(text_of(root, "detail"), want);
    assert_int_equal(json_array_size(json_object_get(root, "errors")), count);
    json_decref(root);
}

static void test_the_detail_names_the_first_invalid_field(void **state)
{
    static const struct problem_field fields[] = {
        {"/urls/0", "must be http or https"},
        {"/size",   "must be a string"     },
        {"/seed",   "must be an integer"   },
    };
    static const struct problem_field whole = {"", "needs urls"}, hostile = {"/a\"\\\n", "\x01 \xff"};

    (void)state;
    check_field_summary(fields, 1, "/urls/0: must be http or https");
    check_field_summary(fields, 2, "/urls/0: must be http or https (and 1 more error)");
    check_field_summary(fields, 3, "/urls/0: must be http or https (and 2 more errors)");
    check_field_summary(&whole, 1, "needs urls");
    check_field_summary(&hostile, 1, "/a\"\\\n: \x01 \xef\xbf\xbd");
}

static void test_hostile_texts_are_escaped(void **state)
{
    static const struct problem_field fields[] = {
        {"/urls/0",    "must be http or https"},
        {"/a\"b\\c\n", "\x01 </script> \xff"  },
    };
    struct problem_details details = {
        .problem = PROBLEM_INVALID_FIELDS,
        .detail = "a \"quoted\"\r\n\\ detail",
        .request_id = "id\"",
        .fields = fields,
        .field_count = 2,
    };
    json_t *root = write_and_parse(&details), *errors = json_object_get(root, "errors");

    (void)state;
    assert_string_equal(text_of(root, "detail"), details.detail);
    assert_string_equal(text_of(root, "request_id"), "id\"");
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(text_of(json_array_get(errors, 0), "pointer"), "/urls/0");
    assert_string_equal(text_of(json_array_get(errors, 0), "detail"), "must be http or https");
    assert_string_equal(text_of(json_array_get(errors, 1), "pointer"), fields[1].pointer);
    assert_string_equal(text_of(json_array_get(errors, 1), "detail"), "\x01 </script> \xef\xbf\xbd");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_are_unique_words),
        cmocka_unit_test(test_statuses_agree_with_retryable),
        cmocka_unit_test(test_the_statuses_of_the_contract),
        cmocka_unit_test(test_every_problem_writes_valid_json),
        cmocka_unit_test(test_the_detail_names_the_first_invalid_field),
        cmocka_unit_test(test_hostile_texts_are_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
