/* The queue of what was asked: deadlines in order, errors in order, callbacks that change the queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants what stands above it */
#include <cmocka.h>

#include "common/redis/calls.h"

static void no_call_is_due_before_the_one_ahead_of_it(void **state)
{
    static const int64_t asked[] = {100, 50, 5000, 200, 6000};
    static const int64_t due[] = {100, 100, 5000, 5000, 6000};
    struct calls calls;

    (void)state;
    calls_init(&calls);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        const struct redis_call *call = calls_add(&calls, CALL_COMMAND, asked[i]);

        assert_non_null(call);
        assert_int_equal(call->due_ms, due[i]);
    }
    calls_forget(&calls);
    assert_int_equal(calls_add(&calls, CALL_COMMAND, 10)->due_ms, 10);
    calls_forget(&calls);
}

struct heard {
    struct calls *calls;
    char errors[64];
};

static void note(const redisReply *reply, int err, void *arg)
{
    struct heard *heard = arg;
    size_t len = strlen(heard->errors);

    assert_null(reply);
    snprintf(heard->errors + len, sizeof(heard->errors) - len, "%d ", err);
}

static void note_and_forget(const redisReply *reply, int err, void *arg)
{
    struct heard *heard = arg;

    note(reply, err, arg);
    calls_forget(heard->calls);
}

static void add(struct heard *heard, enum call_kind kind, redis_reply_fn *done)
{
    struct redis_call *call = calls_add(heard->calls, kind, 0);

    assert_non_null(call);
    call->done = done;
    call->arg = heard;
}

static void the_first_call_has_an_error_of_its_own(void **state)
{
    struct calls calls;
    struct heard heard = {.calls = &calls};

    (void)state;
    calls_init(&calls);
    add(&heard, CALL_COMMAND, note);
    add(&heard, CALL_COMMAND, NULL); /* cancelled */
    add(&heard, CALL_SUBSCRIBE, NULL);
    add(&heard, CALL_COMMAND, note);
    calls_fail(&calls, ERR_TIMEOUT, ERR_LOST);
    assert_string_equal(heard.errors, "-8 -7 ");
    assert_true(TAILQ_EMPTY(&calls.waiting));
}

static void a_callback_may_forget_all_the_others(void **state)
{
    struct calls calls;
    struct heard heard = {.calls = &calls};

    (void)state;
    calls_init(&calls);
    add(&heard, CALL_COMMAND, note_and_forget);
    add(&heard, CALL_COMMAND, note);
    calls_fail(&calls, ERR_LOST, ERR_LOST);
    assert_string_equal(heard.errors, "-7 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_is_due_before_the_one_ahead_of_it),
        cmocka_unit_test(the_first_call_has_an_error_of_its_own),
        cmocka_unit_test(a_callback_may_forget_all_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
