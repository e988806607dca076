/* Why ARK is not called: what the task becomes and what the client reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "worker/job/refusal.h"

static void assert_refusal(struct refusal refusal, enum problem problem, bool passes, bool retryable)
{
    assert_string_equal(problem_code(refusal.problem), problem_code(problem));
    assert_int_equal(refusal.passes, passes);
    assert_int_equal(refusal.retryable, retryable);
    assert_true(*refusal.words);
}

static void an_error_of_the_request_does_not_pass(void **state)
{
    (void)state;
    assert_refusal(refusal_of_error(ERR_SYNTAX), PROBLEM_INVALID_TASK, false, false);
    assert_refusal(refusal_of_error(ERR_RANGE), PROBLEM_ARK_INVALID_REQUEST, false, false);
    assert_refusal(refusal_of_error(ERR_TOO_LONG), PROBLEM_ARK_INVALID_REQUEST, false, false);
}

static void what_the_worker_lacks_is_no_fault_of_the_request(void **state)
{
    (void)state;
    assert_refusal(refusal_of_error(ERR_NOT_FOUND), PROBLEM_INPUT_UNAVAILABLE, false, true);
    assert_refusal(refusal_of_error(ERR_NO_MEMORY), PROBLEM_INPUT_UNAVAILABLE, true, true);
}

static void an_upload_is_tried_again_if_the_storage_may_recover(void **state)
{
    (void)state;
    for (enum storage_end end = STORAGE_MISSING; end < STORAGE_END_COUNT; end++) {
        bool passes = storage_end_is_passing(end);

        assert_refusal(refusal_of_upload(end), PROBLEM_INPUT_UNAVAILABLE, passes, passes);
    }
    assert_true(refusal_of_upload(STORAGE_BUSY).passes);
    assert_false(refusal_of_upload(STORAGE_MISSING).passes);
    assert_string_not_equal(refusal_of_upload(STORAGE_MISSING).words, refusal_of_upload(STORAGE_BUSY).words);
}

static void begin_without_a_durable_record_is_tried_again(void **state)
{
    (void)state;
    assert_refusal(refusal_of_begin(BEGIN_NOT_DURABLE), PROBLEM_NOT_DURABLE, true, true);
    assert_refusal(refusal_of_begin(BEGIN_TOO_LATE), PROBLEM_NOT_DURABLE, true, true);
}

static void a_task_without_budget_ends(void **state)
{
    (void)state;
    assert_refusal(refusal_of_begin(BEGIN_NO_BUDGET), PROBLEM_OUTCOME_UNKNOWN, false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_the_request_does_not_pass),
        cmocka_unit_test(what_the_worker_lacks_is_no_fault_of_the_request),
        cmocka_unit_test(an_upload_is_tried_again_if_the_storage_may_recover),
        cmocka_unit_test(begin_without_a_durable_record_is_tried_again),
        cmocka_unit_test(a_task_without_budget_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
