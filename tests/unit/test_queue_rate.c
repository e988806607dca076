#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "gateway/streams/queue_rate.h"

enum { GAP = 12000, SECOND = 1000, MINUTE = 60 * SECOND };

static const int64_t began = 1767312245678;

/* Looks every `every_ms` while the counter makes one step per `step_ms`, for `over_ms`. */
static void watch_steady(struct queue_rate *pace, int64_t every_ms, int64_t step_ms, int64_t over_ms)
{
    int64_t from_ms = pace->at_ms ? pace->at_ms : began;

    for (int64_t ms = 0; ms <= over_ms; ms += every_ms)
        queue_rate_sample(pace, from_ms + ms,
                          pace->count + (from_ms + ms) / step_ms - (pace->at_ms ? pace->at_ms / step_ms : 0));
}

static void nothing_is_known_at_first(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};

    (void)state;
    assert_int_equal(queue_rate_time_ms(&pace, 1), -1);
    queue_rate_sample(&pace, began, 1000000);
    assert_int_equal(queue_rate_time_ms(&pace, 1), -1);
    queue_rate_sample(&pace, began + 3000, 1000000);
    assert_int_equal(queue_rate_time_ms(&pace, 1), -1); /* no step as yet */
}

static void the_second_look_tells_already(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};

    (void)state;
    queue_rate_sample(&pace, began, 7);
    queue_rate_sample(&pace, began + 3000, 9);
    assert_int_equal(queue_rate_time_ms(&pace, 1), 1500);
    assert_int_equal(queue_rate_time_ms(&pace, 10), 15000);
    assert_int_equal(queue_rate_time_ms(&pace, 0), 0);
}

/* Seven seconds per step and looks each three: some see a step, others none. */
static void looks_with_and_without_a_step_give_one_pace(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};

    (void)state;
    watch_steady(&pace, 3 * SECOND, 7 * SECOND, 10 * MINUTE);
    assert_in_range(queue_rate_time_ms(&pace, 100), 600 * SECOND, 800 * SECOND);
}

static void a_new_pace_is_learned_in_minutes(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};

    (void)state;
    watch_steady(&pace, 3 * SECOND, 10 * SECOND, 10 * MINUTE);
    watch_steady(&pace, 3 * SECOND, SECOND, 4 * MINUTE);
    assert_in_range(queue_rate_time_ms(&pace, 100), 95 * SECOND, 130 * SECOND);
}

static void a_standstill_is_seen_and_at_last_nothing_is_known(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};
    int64_t was_ms;

    (void)state;
    watch_steady(&pace, 3 * SECOND, SECOND, 5 * MINUTE);
    was_ms = queue_rate_time_ms(&pace, 10);
    for (int i = 0; i < 40; i++)
        queue_rate_sample(&pace, pace.at_ms + 3 * SECOND, pace.count);
    assert_true(queue_rate_time_ms(&pace, 10) > 2 * was_ms);
    for (int i = 0; i < 1000; i++)
        queue_rate_sample(&pace, pace.at_ms + 3 * SECOND, pace.count);
    assert_int_equal(queue_rate_time_ms(&pace, 10), -1);
}

/* clang-format off */
static const struct { const char *name; int64_t after_ms, steps; } breaks[] = {
    { "a gap",                              GAP + 1,  1000 },
    { "a counter that went back",           3000,     -1 },
    { "a clock that went back",             -1,       1 },
};
/* clang-format on */

static void what_was_known_is_forgotten_after_a_break(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(breaks); i++) {
        struct queue_rate pace = {.gap_max_ms = GAP};

        print_message("  %s\n", breaks[i].name);
        queue_rate_sample(&pace, began, 100);
        queue_rate_sample(&pace, began + 3000, 103);
        assert_int_equal(queue_rate_time_ms(&pace, 1), 1000);
        queue_rate_sample(&pace, pace.at_ms + breaks[i].after_ms, pace.count + breaks[i].steps);
        assert_int_equal(queue_rate_time_ms(&pace, 1), -1);
        queue_rate_sample(&pace, pace.at_ms + 2000, pace.count + 1); /* and learned again */
        assert_int_equal(queue_rate_time_ms(&pace, 1), 2000);
    }
}

static void two_looks_at_one_moment_do_no_harm(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};

    (void)state;
    queue_rate_sample(&pace, began, 1);
    queue_rate_sample(&pace, began, 1);
    assert_int_equal(queue_rate_time_ms(&pace, 1), -1);
    queue_rate_sample(&pace, began + 1000, 2);
    assert_int_equal(queue_rate_time_ms(&pace, 1), 1000);
}

static void more_than_a_week_is_not_said(void **state)
{
    struct queue_rate pace = {.gap_max_ms = GAP};

    (void)state;
    queue_rate_sample(&pace, began, 0);
    queue_rate_sample(&pace, began + 10 * SECOND, 1);
    assert_int_equal(queue_rate_time_ms(&pace, 6000), 60000 * SECOND);
    assert_int_equal(queue_rate_time_ms(&pace, 100000), -1);
    assert_int_equal(queue_rate_time_ms(&pace, INT64_MAX), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(the_second_look_tells_already),
        cmocka_unit_test(looks_with_and_without_a_step_give_one_pace),
        cmocka_unit_test(a_new_pace_is_learned_in_minutes),
        cmocka_unit_test(a_standstill_is_seen_and_at_last_nothing_is_known),
        cmocka_unit_test(what_was_known_is_forgotten_after_a_break),
        cmocka_unit_test(two_looks_at_one_moment_do_no_harm),
        cmocka_unit_test(more_than_a_week_is_not_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
