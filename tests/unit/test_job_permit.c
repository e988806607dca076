/* The images of a call that count for the account's limit per minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "worker/ark/result.h"
#include "worker/ark/verdict.h"
#include "worker/job/job_permit.h"

static const struct {
    const char *name;
    enum charge charge;
    int images, generated, want;
} cases[] = {
    {"nothing was generated",                 CHARGE_VOID,    0, 0,  0 },
    {"ARK's count",                           CHARGE_KNOWN,   3, 3,  3 },
    {"ARK counts more than it delivered",     CHARGE_KNOWN,   2, 3,  3 },
    {"ARK did not count",                     CHARGE_KNOWN,   2, -1, 2 },
    {"ARK counts less than it delivered",     CHARGE_KNOWN,   2, 1,  2 },
    {"it is not known, so the booking stays", CHARGE_UNKNOWN, 0, 2,  -1},
};

static void test_charged_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct verdict verdict = {.charge = cases[i].charge};
        const struct ark_result ark = {.images = cases[i].images, .generated = cases[i].generated};
        int images = charged_images(&verdict, &ark);

        if (images != cases[i].want)
            fail_msg("%s: %d", cases[i].name, images);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_charged_images)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
