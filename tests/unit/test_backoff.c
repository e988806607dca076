#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/macros.h"
#include "common/base/random.h"

#define ALMOST_ONE 0.9999999999

/* clang-format off */
static const struct { const char *name; int64_t base_ms, max_ms; int attempt; double dice; int64_t want_ms; } cases[] = {
    { "the first attempt waits at most the base",  1000, 60000,          1, ALMOST_ONE, 999 },
    { "the second waits at most twice the base",   1000, 60000,          2, ALMOST_ONE, 1999 },
    { "the fifth, sixteen times",                  1000, 60000,          5, ALMOST_ONE, 15999 },
    { "growth stops at the cap",                   1000, 60000,          7, ALMOST_ONE, 59999 },
    { "many attempts later it is still capped",    1000, 60000, 2000000000, ALMOST_ONE, 59999 },
    { "half the dice, half the delay",             1000, 60000,          3, 0.5,        2000 },
    { "dice 0 still waits 1 ms",                   1000, 60000,          3, 0.0,        1 },
    { "a base above the cap is capped",           90000, 60000,          1, ALMOST_ONE, 59999 },
    { "an attempt below 1 counts as the first",    1000, 60000,          0, 0.5,        500 },
    { "a base of 1 ms",                               1,     1,          9, ALMOST_ONE, 1 },
    { "a large cap does not overflow",                3, INT64_MAX / 4, 5000000, 0.0,   1 },
};
/* clang-format on */

static void test_delays(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct backoff backoff = {cases[i].base_ms, cases[i].max_ms};

        print_message("  %s\n", cases[i].name);
        assert_int_equal(backoff_delay_ms(&backoff, cases[i].attempt, cases[i].dice), cases[i].want_ms);
    }
}

static void test_random_unit_is_in_range_and_spread_out(void **state)
{
    int low = 0, high = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        double dice = random_unit();

        assert_true(dice >= 0 && dice < 1);
        low += dice < 0.5;
        high += dice >= 0.5;
    }
    assert_true(low > 4500 && high > 4500);
}

static void test_random_hex_has_the_requested_length_and_differs(void **state)
{
    char first[33], second[33];

    (void)state;
    random_hex(first, 16);
    random_hex(second, 16);
    assert_int_equal(strlen(first), 32);
    assert_int_equal(strspn(first, "0123456789abcdef"), 32);
    assert_string_not_equal(first, second);
    random_hex(first, 0);
    assert_string_equal(first, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_random_unit_is_in_range_and_spread_out),
        cmocka_unit_test(test_random_hex_has_the_requested_length_and_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
