/* UTC days and months of reports; amounts of money as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "common/base/macros.h"
#include "common/base/money.h"
#include "gateway/api/period.h"

#define DAY_MS INT64_C(86400000)

static void texts_are_read_and_written(void **state)
{
    static const struct {
        enum period_kind kind;
        const char *text, *key;
        int64_t period;
    } cases[] = {
        {PERIOD_DAY,   "1970-01-01", "19700101", 0    },
        {PERIOD_DAY,   "2024-02-29", "20240229", 19782},
        {PERIOD_DAY,   "2026-11-30", "20261130", 20787},
        {PERIOD_MONTH, "1970-01",    "197001",   0    },
        {PERIOD_MONTH, "2026-12",    "202612",   683  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char out[PERIOD_TEXT_SIZE];
        int64_t period = -1;

        assert_true(period_read(cases[i].kind, cases[i].text, &period));
        assert_true(period == cases[i].period);
        period_text(cases[i].kind, period, out);
        assert_string_equal(out, cases[i].text);
        period_key(cases[i].kind, period, out);
        assert_string_equal(out, cases[i].key);
    }
}

static void other_texts_are_refused(void **state)
{
    static const struct {
        enum period_kind kind;
        const char *text;
    } cases[] = {
        {PERIOD_DAY,   ""           },
        {PERIOD_DAY,   "2026-11"    },
        {PERIOD_DAY,   "2026-02-30" },
        {PERIOD_DAY,   "2026-1-1"   },
        {PERIOD_DAY,   " 2026-01-01"},
        {PERIOD_DAY,   "2026-01-01x"},
        {PERIOD_DAY,   "1969-12-31" },
        {PERIOD_DAY,   "20261130"   },
        {PERIOD_MONTH, "2026-13"    },
        {PERIOD_MONTH, "2026-11-30" },
        {PERIOD_MONTH, "2026-1"     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t period = -1;

        assert_false(period_read(cases[i].kind, cases[i].text, &period));
        assert_true(period == -1);
    }
}

static void a_time_belongs_to_its_utc_day_and_month(void **state)
{
    int64_t day = period_of(PERIOD_DAY, 20787 * DAY_MS + DAY_MS - 1);

    (void)state;
    assert_true(day == 20787);
    assert_true(period_of(PERIOD_MONTH, 20787 * DAY_MS + DAY_MS - 1) == 682);
    assert_true(period_of(PERIOD_MONTH, 20788 * DAY_MS) == 683);
}

static void amounts_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t micros; /* -1: refused */
    } cases[] = {
        {"0",                       0             },
        {"2.5",                     2500000       },
        {"2.50",                    2500000       },
        {"0.000001",                1             },
        {"1000000000",              MONEY_MAX     },
        {"007",                     7 * MONEY_UNIT},
        {"",                        -1            },
        {".5",                      -1            },
        {"5.",                      -1            },
        {"-1",                      -1            },
        {"+1",                      -1            },
        {"1e3",                     -1            },
        {"1,5",                     -1            },
        {"0.0000001",               -1            },
        {"1.2.3",                   -1            },
        {"1000000000.1",            -1            },
        {"99999999999999999999999", -1            },
        {" 1",                      -1            },
        {"1 ",                      -1            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t micros = -1;

        assert_int_equal(money_read(cases[i].text, strlen(cases[i].text), &micros), cases[i].micros >= 0);
        assert_true(micros == cases[i].micros);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_and_written),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(a_time_belongs_to_its_utc_day_and_month),
        cmocka_unit_test(amounts_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
