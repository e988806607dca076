#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/request/headers.h"

#define ID32   "4bf92f3577b34da6a3ce929d0e0e4736"
#define ID16   "00f067aa0ba902b7"
#define ZERO16 "0000000000000000"

/* clang-format off */
static const struct { const char *name, *text; bool valid; } cases[] = {
    { "as in the standard",         "00-" ID32 "-" ID16 "-01",          true },
    { "a later version",            "cc-" ID32 "-" ID16 "-01",          true },
    { "a later, longer version",    "cc-" ID32 "-" ID16 "-01-what",     true },
    { "longer than version 00 is",  "00-" ID32 "-" ID16 "-01-what",     false },
    { "a later one that runs on",   "cc-" ID32 "-" ID16 "-01what",      false },
    { "version ff",                 "ff-" ID32 "-" ID16 "-01",          false },
    { "capitals",                   "00-4BF92F3577B34DA6A3CE929D0E0E4736-" ID16 "-01", false },
    { "no trace",                   "00-" ZERO16 ZERO16 "-" ID16 "-01", false },
    { "no parent",                  "00-" ID32 "-" ZERO16 "-01",        false },
    { "flags that are no hex",      "00-" ID32 "-" ID16 "-0g",          false },
    { "underscores",                "00_" ID32 "_" ID16 "_01",          false },
    { "too short",                  "00-" ID32 "-" ID16 "-0",           false },
    { "empty",                      "",                                 false },
};
/* clang-format on */

static void test_only_valid_traceparents_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char out[TRACE_SIZE], want[TRACE_SIZE] = "";

        print_message("  %s\n", cases[i].name);
        if (cases[i].valid)
            strncat(want, cases[i].text, TRACE_LEN);
        trace_read(out, cases[i].text, strlen(cases[i].text));
        assert_string_equal(out, want);
    }
}

static void test_an_absent_header_gives_no_trace(void **state)
{
    char out[TRACE_SIZE] = "x";

    (void)state;
    trace_read(out, NULL, 0);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_valid_traceparents_are_accepted),
        cmocka_unit_test(test_an_absent_header_gives_no_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
