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

/* A reply to HGETALL. */
struct hash_reply {
    redisReply reply, items[FIELDS_MAX];
    redisReply *elements[FIELDS_MAX];
};

static void add(struct hash_reply *hash_reply, const char *text)
{
    size_t n = hash_reply->reply.elements++;

    assert_true(n < FIELDS_MAX);
    hash_reply->items[n] =
        (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)text, .len = strlen(text)};
    hash_reply->elements[n] = &hash_reply->items[n];
    hash_reply->reply.element = hash_reply->elements;
}

static void read_words(struct account *account, const char *const *words)
{
    struct hash_reply hash_reply = {.reply = {.type = REDIS_REPLY_ARRAY}};

    for (; *words; words++)
        add(&hash_reply, *words);
    account_read(account, &hash_reply.reply);
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

static uint32_t wait_digest(const struct account *account, const char *model)
{
    return account_wait_digest(&(struct account_wait){.account = account, .model = model, .now_ms = NOW_MS});
}

static void test_the_fields_of_the_account_hash_are_read(void **state)
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

static void test_without_a_default_model_a_task_without_a_model_waits_for_no_model(void **state)
{
    struct account account;

    (void)state;
    READ(&account, "m1 state", "open", "m1 code", "outcome_unknown");
    assert_waits(&account, "", "[]");
    assert_waits(&account, "m1", "[{\"code\":\"outcome_unknown\",\"model\":\"m1\"}]");
}

static void test_the_digest_changes_with_the_scope_the_code_and_the_start(void **state)
{
    struct account account;
    uint32_t open, other_code, later, of_model, paused;

    (void)state;
    READ(&account, "calls", "3", "m limit", "3");
    assert_int_equal(wait_digest(&account, "m"), 0);
    assert_false(account_names_models(&account));
    READ(&account, "state", "open", "code", "ark_unreachable", "since", "5", "why", "one", "probe_at", "6");
    open = wait_digest(&account, "m");
    assert_int_not_equal(open, 0);
    READ(&account, "state", "half_open", "code", "ark_unreachable", "since", "5", "why", "other", "probe_at", "7",
         "calls", "8");
    assert_int_equal(wait_digest(&account, "m"), open); /* neither the probe nor other fields count */
    READ(&account, "state", "open", "code", "outcome_unknown", "since", "5");
    other_code = wait_digest(&account, "m");
    READ(&account, "state", "open", "code", "ark_unreachable", "since", "7");
    later = wait_digest(&account, "m");
    READ(&account, "m state", "open", "m code", "ark_unreachable", "m since", "5");
    of_model = wait_digest(&account, "m");
    assert_int_equal(wait_digest(&account, "n"), 0);
    READ(&account, "m paused_until", "2000000");
    paused = wait_digest(&account, "m");
    READ(&account, "m paused_until", "3000000");
    assert_int_equal(wait_digest(&account, "m"), paused); /* a longer pause has the same digest */
    assert_int_not_equal(other_code, open);
    assert_int_not_equal(later, open);
    assert_int_not_equal(of_model, open);
    assert_int_not_equal(paused, of_model);
}

static void test_invalid_replies_and_values_are_ignored(void **state)
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
    READ(&account, name, "open", name + 150, "open"); /* the first name is longer than a model name may be */
    assert_int_equal(account.count, 2);
    READ(&account, "state", "open", "code", "\"injected\"", "m \"x\" state", "open", "m \"x\" code", "UPPER");
    assert_waits(&account, NULL,
                 "[{\"code\":\"ark_unreachable\"},{\"code\":\"ark_unreachable\",\"model\":\"m \\\"x\\\"\"}]");
}

static void test_models_above_the_maximum_are_dropped(void **state)
{
    struct hash_reply hash_reply = {.reply = {.type = REDIS_REPLY_ARRAY}};
    static char names[100][16];
    struct account account;

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%d state", i);
        add(&hash_reply, names[i]);
        add(&hash_reply, "open");
    }
    account_read(&account, &hash_reply.reply);
    assert_int_equal(account.count, 1 + ACCOUNT_MODELS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_fields_of_the_account_hash_are_read),
        cmocka_unit_test(test_each_task_waits_for_the_account_and_its_own_model),
        cmocka_unit_test(test_without_a_default_model_a_task_without_a_model_waits_for_no_model),
        cmocka_unit_test(test_the_digest_changes_with_the_scope_the_code_and_the_start),
        cmocka_unit_test(test_invalid_replies_and_values_are_ignored),
        cmocka_unit_test(test_models_above_the_maximum_are_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
