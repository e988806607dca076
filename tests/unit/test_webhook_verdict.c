/* What an attempt to deliver a webhook means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "common/webhook/verdict.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define NOW INT64_C(1764500000000)

/* clang-format off */
static const struct {
    const char *name;
    int status;
    bool disable;
    enum web_end end;
    bool not_public;
    enum webhook_action action;
    const char *code;
} cases[] = {
    { "200",                                 200, false, WEB_ANSWERED, false, WEBHOOK_DELIVERED, "delivered" },
    { "204",                                 204, false, WEB_ANSWERED, false, WEBHOOK_DELIVERED, "delivered" },
    { "299",                                 299, false, WEB_ANSWERED, false, WEBHOOK_DELIVERED, "delivered" },
    { "200 whose body is too long",          200, false, WEB_BROKEN,   false, WEBHOOK_DELIVERED, "delivered" },
    { "200 that asks for no more",           200, true,  WEB_ANSWERED, false, WEBHOOK_DELIVERED, "delivered" },
    { "a redirect is not followed",          301, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "redirected" },
    { "a redirect that keeps the method",    307, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "redirected" },
    { "304",                                 304, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "redirected" },
    { "400",                                 400, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "http_status" },
    { "404",                                 404, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "http_status" },
    { "410",                                 410, false, WEB_ANSWERED, false, WEBHOOK_FAILED,    "gone" },
    { "500 that asks for no more",           500, true,  WEB_ANSWERED, false, WEBHOOK_FAILED,    "disabled" },
    { "500",                                 500, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "http_status" },
    { "429",                                 429, false, WEB_ANSWERED, false, WEBHOOK_BUSY,      "http_status" },
    { "502",                                 502, false, WEB_ANSWERED, false, WEBHOOK_BUSY,      "http_status" },
    { "503",                                 503, false, WEB_ANSWERED, false, WEBHOOK_BUSY,      "http_status" },
    { "504",                                 504, false, WEB_ANSWERED, false, WEBHOOK_BUSY,      "http_status" },
    { "a status that does not exist",        999, false, WEB_ANSWERED, false, WEBHOOK_AGAIN,     "http_status" },
    { "no connection",                       0,   false, WEB_NOT_SENT, false, WEBHOOK_BUSY,      "unreachable" },
    { "no answer",                           0,   false, WEB_BROKEN,   false, WEBHOOK_BUSY,      "no_answer" },
    { "an address inside",                   0,   false, WEB_NOT_SENT, true,  WEBHOOK_AGAIN,     "not_public" },
};
/* clang-format on */

static void test_actions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct webhook_verdict verdict = webhook_decide(&(struct webhook_evidence){.status = cases[i].status,
                                                                                   .is_disabled = cases[i].disable,
                                                                                   .end = cases[i].end,
                                                                                   .not_public = cases[i].not_public,
                                                                                   .retry_after = "",
                                                                                   .attempt = 1,
                                                                                   .now_ms = NOW,
                                                                                   .dice = 0.5});

        if (verdict.action != cases[i].action || strcmp(webhook_code_names[verdict.code], cases[i].code) != 0)
            fail_msg("%s: %s %s", cases[i].name, webhook_action_name(verdict.action), webhook_code_names[verdict.code]);
    }
}

static struct webhook_verdict refuse(int attempt, double dice, const char *retry_after)
{
    return webhook_decide(&(struct webhook_evidence){.status = 503,
                                                     .end = WEB_ANSWERED,
                                                     .retry_after = retry_after,
                                                     .attempt = attempt,
                                                     .now_ms = NOW,
                                                     .dice = dice});
}

static void test_delays(void **state)
{
    static const int64_t want[] = {5 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR};

    (void)state;
    for (int i = 0; i < (int)ARRAY_LENGTH(want); i++) {
        assert_int_equal(refuse(i + 1, 0.5, "").delay_ms, want[i]);
        assert_int_equal(refuse(i + 1, 0, "").delay_ms, want[i] * 4 / 5);
        assert_in_range(refuse(i + 1, 0.999999, "").delay_ms, want[i] * 119 / 100, want[i] * 6 / 5);
    }
    assert_int_equal(refuse(WEBHOOK_ATTEMPTS_MAX, 0.5, "").action, WEBHOOK_FAILED);
    assert_int_equal(refuse(WEBHOOK_ATTEMPTS_MAX + 1, 0.5, "").action, WEBHOOK_FAILED);
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        int64_t delay_ms, pause_ms;
    } waits[] = {
        {"",                              5 * SECOND,  0          },
        {"2",                             5 * SECOND,  2 * SECOND },
        {"60",                            MINUTE,      MINUTE     },
        {"999999999999999999999",         10 * HOUR,   10 * HOUR  },
        {"soon",                          5 * SECOND,  SECOND     },
        {"-1",                            5 * SECOND,  SECOND     },
        {"Sun, 30 Nov 2025 10:54:20 GMT", 60 * SECOND, 60 * SECOND},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(waits); i++) {
        struct webhook_verdict verdict = refuse(1, 0.5, waits[i].value);

        assert_int_equal(verdict.delay_ms, waits[i].delay_ms);
        assert_int_equal(verdict.pause_ms, waits[i].pause_ms);
    }
}

/* A status that is about the one delivery does not make the others wait. */
static void test_retry_after_of_one(void **state)
{
    struct webhook_verdict verdict = webhook_decide(&(struct webhook_evidence){
        .status = 500, .end = WEB_ANSWERED, .retry_after = "60", .attempt = 1, .now_ms = NOW, .dice = 0.5});

    (void)state;
    assert_int_equal(verdict.delay_ms, MINUTE);
    assert_int_equal(verdict.pause_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_retry_after_of_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
