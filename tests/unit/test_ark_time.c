/* Finding the reset time in the text of an ARK error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "worker/ark/time.h"

#define AT INT64_C(1796032800000) /* 2026-11-30 10:00:00 UTC, 18:00:00 in Beijing */

/* clang-format off */
static const struct {
    const char *name, *text;
    int64_t want;
} cases[] = {
    { "ARK's own spelling",                  "You have exceeded the 5-hour usage quota. It will reset at 2026-11-30 18:00:00 +0800 CST. Request id: 0217", AT },
    { "without a zone it is Beijing's time", "reset at 2026-11-30 18:00:00", AT },
    { "at the end of a sentence",            "reset at 2026-11-30 18:00:00.", AT },
    { "in front of other words",             "reset at 2026-11-30 18:00:00, please wait", AT },
    { "without seconds",                     "reset at 2026-11-30 18:00", AT },
    { "with a fraction",                     "2026-11-30 18:00:00.123456789 +0800 CST m=+0.1", AT },
    { "ISO in UTC",                          "2026-11-30T10:00:00Z", AT },
    { "ISO in small letters",                "2026-11-30t10:00:00z", AT },
    { "ISO with a fraction",                 "2026-11-30T10:00:00.5Z", AT },
    { "ISO with an offset",                  "2026-11-30T18:00:00+08:00", AT },
    { "an offset without minutes",           "2026-11-30 18:00:00 +8", AT },
    { "an offset of two digits",             "2026-11-30 18:00:00 +08", AT },
    { "west of Greenwich",                   "2026-11-30 05:00:00 -0500", AT },
    { "half an hour",                        "2026-11-30 15:30:00 +05:30", AT },
    { "by name",                             "2026-11-30 10:00:00 UTC", AT },
    { "by the other name",                   "2026-11-30 10:00:00 GMT", AT },
    { "by name and offset",                  "2026-11-30 18:00:00 UTC+8", AT },
    { "in brackets",                         "2026-11-30 18:00:00 (UTC+8)", AT },
    { "in brackets, with minutes",           "2026-11-30 18:00:00 (GMT+08:00)", AT },
    { "with slashes",                        "2026/11/30 18:00:00", AT },
    { "the first of two",                    "from 2026-11-30 18:00:00 to 2026-12-30 18:00:00", AT },
    { "behind a number",                     "quota 12345, at 2026-11-30 18:00:00", AT },
    { "behind a date that is none",          "since 2026-13-01 10:00:00 until 2026-11-30 18:00:00", AT },
    { "a leap second",                       "2026-11-30 17:59:60", AT },
    { "a leap day",                          "2028-02-29 08:00:00", INT64_C(1835395200000) },
    { "a zone that is none",                 "2026-11-30 18:00:00 +99:00", AT },
    { "an offset that is too long",          "2026-11-30 18:00:00 +08000", AT },
    { "a dash after it",                     "2026-11-30 18:00:00 - wait", AT },
    { "a word with Z after it",              "2026-11-30 18:00:00 Zhongguo", AT },
    { "the farthest",                        "9999-12-31 23:59:59Z", INT64_C(253402300799000) },

    { "nothing",                             "", 0 },
    { "no time",                             "You have exceeded the quota.", 0 },
    { "a date alone",                        "2026-11-30", 0 },
    { "a time alone",                        "18:00:00", 0 },
    { "cut after the hour",                  "2026-11-30 18", 0 },
    { "cut after the colon",                 "2026-11-30 18:", 0 },
    { "no such month",                       "2026-13-30 18:00:00", 0 },
    { "month 0",                             "2026-00-30 18:00:00", 0 },
    { "no such day",                         "2026-02-30 18:00:00", 0 },
    { "day 0",                               "2026-02-00 18:00:00", 0 },
    { "no such hour",                        "2026-11-30 24:00:00", 0 },
    { "no such minute",                      "2026-11-30 18:60:00", 0 },
    { "no such second",                      "2026-11-30 18:00:61", 0 },
    { "another century",                     "1826-11-30 18:00:00", 0 },
    { "mixed separators",                    "2026-11/30 18:00:00", 0 },
    { "other separators",                    "2026.11.30 18:00:00", 0 },
    { "digits without end",                  "99999999999999999999999999999999999999", 0 },
    { "negative parts",                      "2026--1--1 -1:-1:-1", 0 },
    { "the text of a placeholder",           "reset at {time}", 0 },
};
/* clang-format on */

static void finds_every_spelling_of_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("  %s\n", cases[i].name);
        assert_int_equal(ark_time_find(cases[i].text), cases[i].want);
    }
}

static void a_long_text_does_not_exhaust_the_stack(void **state)
{
    static char text[1 << 16];

    (void)state;
    memset(text, '.', sizeof(text) - 1);
    memcpy(text, "2026-11-30 18:00:00.1", 21);
    for (size_t i = 21; i + 2 < sizeof(text); i += 2)
        text[i + 1] = '1';
    assert_int_equal(ark_time_find(text), AT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_spelling_of_a_time),
        cmocka_unit_test(a_long_text_does_not_exhaust_the_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
