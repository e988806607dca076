#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "gateway/account/account.h"

enum { FIELDS_MAX = 512, NOW_MS = 1000000, TEXT_MAX = 64 * 1024 };

/* The answer to HGETALL; the words end with NULL. */
struct books {
    redisReply reply, items[FIELDS_MAX];
    redisReply *elements[FIELDS_MAX];
};

static void add(struct books *books, const char *text)
{
    size_t n = books->reply.elements++;

    assert_true(n < FIELDS_MAX);
    books->items[n] = (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)text, .len = strlen(text)};
    books->elements[n] = &books->items[n];
    books->reply.element = books->elements;
}

static void read_words(struct account *account, const char *const *words)
{
    struct books books = {.reply = {.type = REDIS_REPLY_ARRAY}};

    for (; *words; words++)
        add(&books, *words);
    account_read(account, &books.reply);
}
#define READ(account, ...) read_words(account, (const char *const[]){__VA_ARGS__, NULL})

static void assert_waits(const struct account *account, const char *model, const char *expected)
{
    struct buf out;

    buf_init(&out, TEXT_MAX);
    account_wait_write(&out, &(struct account_wait){.account = account, .model = model, .now_ms = NOW_MS});
    assert_string_equal(buf_text(&out), expected);
    assert_int_equal(buf_error(&out), 0);
    buf_deinit(&out);
}

static uint32_t sum(const struct account *account, const char *model)
{
    return account_wait_digest(&(struct account_wait){.account = account, .model = model, .now_ms = NOW_MS});
}

static void test_what_the_books_say(void **state)
{
    struct account account;
    const struct account_scope *scope;

    (void)state;
    READ(&account, "calls", "3", "tokens", "12.5", "limit", "7", "default_model", "m-1", "swept", "99", "m-1 state",
         "open", "m-1 code", "outcome_unknown", "m-1 why", "HTTP 500 \"oops\"", "m-1 since", "900000", "m-1 probe_at",
         "1001000.000000", "m-1 limit", "6.250000", "m-1 rate", "300", "m-1 hold_ms", "500", "m:2 paused_until",
         "1000500");
    assert_float_equal(account.calls, 3, 0);
    assert_float_equal(account.tokens, 12.5, 0);
    assert_float_equal(account.limit, 7, 0);
    assert_string_equal(account.default_model, "m-1");
    assert_int_equal(account.count, 3);
    assert_int_equal(account.scopes[0].state, BREAKER_CLOSED);
    scope = &account.scopes[1];
    assert_string_equal(scope->model, "m-1");
    assert_int_equal(scope->state, BREAKER_OPEN);
    assert_string_equal(account_scope_code(scope), "outcome_unknown");
    assert_string_equal(scope->why, "HTTP 500 \"oops\"");
    assert_int_equal(scope->since_ms, 900000);
    assert_int_equal(scope->probe_at_ms, 1001000);
    assert_float_equal(scope->limit, 6.25, 0);
    assert_float_equal(scope->rate, 300, 0);
    assert_int_equal(account.scopes[2].paused_until_ms, 1000500);
    assert_true(isnan(account.scopes[2].limit));
}

static void test_each_task_waits_for_the_account_and_its_own_model(void **state)
{
    static const char account_json[] = "{\"code\":\"ark_unauthorized\",\"since\":\"1970-01-01T00:15:00.000Z\"}";
    static const char m1[] = "{\"code\":\"outcome_unknown\",\"model\":\"m1\",\"since\":\"1970-01-01T00:16:00.001Z\"}";
    static const char m2[] = "{\"code\":\"ark_rate_limited\",\"model\":\"m2\",\"until\":\"1970-01-01T00:16:40.500Z\"}";
    struct account account;
    char expected[1024];

    (void)state;
    READ(&account, "default_model", "m1", "state", "half_open", "code", "ark_unauthorized", "since", "900000",
         "m1 state", "probing", "m1 code", "outcome_unknown", "m1 since", "960001", "m2 paused_until", "1000500",
         "m3 limit", "3", "m4 paused_until", "1000000");
    (void)snprintf(expected, sizeof(expected), "[%s,%s]", account_json, m1);
    assert_waits(&account, "m1", expected);
    assert_waits(&account, "", expected);
    (void)snprintf(expected, sizeof(expected), "[%s,%s]", account_json, m2);
    assert_waits(&account, "m2", expected);
    (void)snprintf(expected, sizeof(expected), "[%s]", account_json);
    assert_waits(&account, "m3", expected);
    assert_waits(&account, "m4", expected);
    (void)snprintf(expected, sizeof(expected), "[%s,%s,%s]", account_json, m1, m2);
    assert_waits(&account, NULL, expected);
    assert_true(account_names_models(&account));
}

static void test_a_task_without_a_model_where_no_default_is_known(void **state)
{
    struct account account;

    (void)state;
    READ(&account, "m1 state", "open", "m1 code", "outcome_unknown");
    assert_waits(&account, "", "[]");
    assert_waits(&account, "m1", "[{\"code\":\"outcome_unknown\",\"model\":\"m1\"}]");
}

static void test_the_sum_changes_with_what_holds_and_why(void **state)
{
    struct account account;
    uint32_t open, other_code, later, of_model, paused;

    (void)state;
    READ(&account, "calls", "3", "m limit", "3");
    assert_int_equal(sum(&account, "m"), 0);
    assert_false(account_names_models(&account));
    READ(&account, "state", "open", "code", "ark_unreachable", "since", "5", "why", "one", "probe_at", "6");
    open = sum(&account, "m");
    assert_int_not_equal(open, 0);
    READ(&account, "state", "half_open", "code", "ark_unreachable", "since", "5", "why", "other", "probe_at", "7",
         "calls", "8");
    assert_int_equal(sum(&account, "m"), open); /* it is probed, and still holds */
    READ(&account, "state", "open", "code", "outcome_unknown", "since", "5");
    other_code = sum(&account, "m");
    READ(&account, "state", "open", "code", "ark_unreachable", "since", "7");
    later = sum(&account, "m");
    READ(&account, "m state", "open", "m code", "ark_unreachable", "m since", "5");
    of_model = sum(&account, "m");
    assert_int_equal(sum(&account, "n"), 0);
    READ(&account, "m paused_until", "2000000");
    paused = sum(&account, "m");
    READ(&account, "m paused_until", "3000000");
    assert_int_equal(sum(&account, "m"), paused); /* ARK has prolonged it */
    assert_int_not_equal(other_code, open);
    assert_int_not_equal(later, open);
    assert_int_not_equal(of_model, open);
    assert_int_not_equal(paused, of_model);
}

static void test_books_that_mean_nothing(void **state)
{
    static const char *const numbers[] = {"1e999", "nan", "inf", "1,2", "0x10", "", " 5", "-", "99999999999999999999",
                                          "1.2.3"};
    static redisReply error = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "NOPERM"},
                      nil = {.type = REDIS_REPLY_NIL};
    struct account account;
    char name[300];

    (void)state;
    account_read(&account, NULL);
    assert_waits(&account, NULL, "[]");
    account_read(&account, &error);
    account_read(&account, &nil);
    assert_int_equal(account.count, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        READ(&account, "tokens", numbers[i], "m paused_until", numbers[i], "m limit", numbers[i], "m since",
             numbers[i]);
        print_message("  \"%s\"\n", numbers[i]);
        assert_true(isnan(account.tokens) && isnan(account.scopes[1].limit));
        assert_int_equal(account.scopes[1].paused_until_ms, 0);
        assert_waits(&account, NULL, "[]");
    }
    READ(&account, "state", "ajar", "code", "ark_unreachable", " state", "open", "m paused_until", "-5", "odd");
    assert_waits(&account, NULL, "[]");
    memset(name, 'x', sizeof(name));
    (void)snprintf(name + 200, sizeof(name) - 200, " state");
    READ(&account, name, "open", name + 150, "open"); /* one is longer than a name of a model may be */
    assert_int_equal(account.count, 2);
    READ(&account, "state", "open", "code", "\"injected\"", "m \"x\" state", "open", "m \"x\" code", "UPPER");
    assert_waits(&account, NULL,
                 "[{\"code\":\"ark_unreachable\"},{\"code\":\"ark_unreachable\",\"model\":\"m \\\"x\\\"\"}]");
}

static void test_more_models_than_are_kept(void **state)
{
    struct books books = {.reply = {.type = REDIS_REPLY_ARRAY}};
    static char names[100][16];
    struct account account;

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%d state", i);
        add(&books, names[i]);
        add(&books, "open");
    }
    account_read(&account, &books.reply);
    assert_int_equal(account.count, 1 + ACCOUNT_MODELS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_books_say),
        cmocka_unit_test(test_each_task_waits_for_the_account_and_its_own_model),
        cmocka_unit_test(test_a_task_without_a_model_where_no_default_is_known),
        cmocka_unit_test(test_the_sum_changes_with_what_holds_and_why),
        cmocka_unit_test(test_books_that_mean_nothing),
        cmocka_unit_test(test_more_models_than_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
