#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "gateway/streams/queue_rate.h"

enum { GAP = 12000, SECOND = 1000, MINUTE = 60 * SECOND };

static const int64_t began = 1767312245678;

/* Samples every `every_ms` for `over_ms`, while the counter grows by one per `step_ms`. */
static void sample_steadily(struct queue_rate *rate, int64_t every_ms, int64_t step_ms, int64_t over_ms)
{
    int64_t from_ms = rate->at_ms ? rate->at_ms : began;

    for (int64_t ms = 0; ms <= over_ms; ms += every_ms)
        queue_rate_sample(rate, from_ms + ms,
                          rate->count + (from_ms + ms) / step_ms - (rate->at_ms ? rate->at_ms / step_ms : 0));
}

static void there_is_no_estimate_before_the_first_step(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};

    (void)state;
    assert_int_equal(queue_rate_time_ms(&rate, 1), -1);
    queue_rate_sample(&rate, began, 1000000);
    assert_int_equal(queue_rate_time_ms(&rate, 1), -1);
    queue_rate_sample(&rate, began + 3000, 1000000);
    assert_int_equal(queue_rate_time_ms(&rate, 1), -1); /* the counter has not moved yet */
}

static void two_samples_give_an_estimate(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};

    (void)state;
    queue_rate_sample(&rate, began, 7);
    queue_rate_sample(&rate, began + 3000, 9);
    assert_int_equal(queue_rate_time_ms(&rate, 1), 1500);
    assert_int_equal(queue_rate_time_ms(&rate, 10), 15000);
    assert_int_equal(queue_rate_time_ms(&rate, 0), 0);
}

/* One step per seven seconds and one sample per three seconds: some samples see a step, others do not. */
static void samples_without_a_step_do_not_distort_the_rate(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};

    (void)state;
    sample_steadily(&rate, 3 * SECOND, 7 * SECOND, 10 * MINUTE);
    assert_in_range(queue_rate_time_ms(&rate, 100), 600 * SECOND, 800 * SECOND);
}

static void a_changed_rate_is_learned_within_minutes(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};

    (void)state;
    sample_steadily(&rate, 3 * SECOND, 10 * SECOND, 10 * MINUTE);
    sample_steadily(&rate, 3 * SECOND, SECOND, 4 * MINUTE);
    assert_in_range(queue_rate_time_ms(&rate, 100), 95 * SECOND, 130 * SECOND);
}

static void in_a_standstill_the_estimate_grows_and_then_ends(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};
    int64_t was_ms;

    (void)state;
    sample_steadily(&rate, 3 * SECOND, SECOND, 5 * MINUTE);
    was_ms = queue_rate_time_ms(&rate, 10);
    for (int i = 0; i < 40; i++)
        queue_rate_sample(&rate, rate.at_ms + 3 * SECOND, rate.count);
    assert_true(queue_rate_time_ms(&rate, 10) > 2 * was_ms);
    for (int i = 0; i < 1000; i++)
        queue_rate_sample(&rate, rate.at_ms + 3 * SECOND, rate.count);
    assert_int_equal(queue_rate_time_ms(&rate, 10), -1);
}

/* clang-format off */
static const struct { const char *name; int64_t after_ms, steps; } resets[] = {
    { "a gap",                              GAP + 1,  1000 },
    { "a counter that went back",           3000,     -1 },
    { "a clock that went back",             -1,       1 },
};
/* clang-format on */

static void a_gap_or_a_step_back_resets_the_estimate(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(resets); i++) {
        struct queue_rate rate = {.gap_max_ms = GAP};

        print_message("  %s\n", resets[i].name);
        queue_rate_sample(&rate, began, 100);
        queue_rate_sample(&rate, began + 3000, 103);
        assert_int_equal(queue_rate_time_ms(&rate, 1), 1000);
        queue_rate_sample(&rate, rate.at_ms + resets[i].after_ms, rate.count + resets[i].steps);
        assert_int_equal(queue_rate_time_ms(&rate, 1), -1);
        queue_rate_sample(&rate, rate.at_ms + 2000, rate.count + 1); /* the next step gives a new estimate */
        assert_int_equal(queue_rate_time_ms(&rate, 1), 2000);
    }
}

static void two_samples_at_the_same_time_are_safe(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};

    (void)state;
    queue_rate_sample(&rate, began, 1);
    queue_rate_sample(&rate, began, 1);
    assert_int_equal(queue_rate_time_ms(&rate, 1), -1);
    queue_rate_sample(&rate, began + 1000, 2);
    assert_int_equal(queue_rate_time_ms(&rate, 1), 1000);
}

static void there_is_no_estimate_above_a_week(void **state)
{
    struct queue_rate rate = {.gap_max_ms = GAP};

    (void)state;
    queue_rate_sample(&rate, began, 0);
    queue_rate_sample(&rate, began + 10 * SECOND, 1);
    assert_int_equal(queue_rate_time_ms(&rate, 6000), 60000 * SECOND);
    assert_int_equal(queue_rate_time_ms(&rate, 100000), -1);
    assert_int_equal(queue_rate_time_ms(&rate, INT64_MAX), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_no_estimate_before_the_first_step),
        cmocka_unit_test(two_samples_give_an_estimate),
        cmocka_unit_test(samples_without_a_step_do_not_distort_the_rate),
        cmocka_unit_test(a_changed_rate_is_learned_within_minutes),
        cmocka_unit_test(in_a_standstill_the_estimate_grows_and_then_ends),
        cmocka_unit_test(a_gap_or_a_step_back_resets_the_estimate),
        cmocka_unit_test(two_samples_at_the_same_time_are_safe),
        cmocka_unit_test(there_is_no_estimate_above_a_week),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
