/* The news that a call's result gives about the account and its model, as in the table of common/task/PROTOCOL.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "worker/account/news.h"
#include "worker/ark/answer.h"
#include "worker/ark/verdict.h"

#define NOW INT64_C(1796032800000) /* 2026-11-30 10:00:00 UTC */

/* clang-format off */
static const struct {
    const char *name;
    enum web_end end;
    int status;
    const char *code, *message;
    int images, generated;
    bool cancelled;
    enum account_news want;
} calls[] = {
    { "an image",                             WEB_ANSWERED,   200, NULL, "", 1, 1, false, NEWS_ACCEPTED },
    { "an image, and then a cut",             WEB_BROKEN,      200, NULL, "", 1, -1, false, NEWS_ACCEPTED },
    { "a charge without an image",            WEB_ANSWERED,   200, NULL, "", 0, 2, false, NEWS_ACCEPTED },
    { "no connection",                        WEB_NOT_SENT, 0,   NULL, "", 0, -1, false, NEWS_UNREACHABLE },
    { "a cut before any image",               WEB_BROKEN,      0,   NULL, "", 0, -1, false, NEWS_UNKNOWN },
    { "a 502",                                WEB_ANSWERED,   502, NULL, "", 0, -1, false, NEWS_UNKNOWN },
    { "a 503 in HTML",                        WEB_ANSWERED,   503, NULL, "", 0, -1, false, NEWS_UNKNOWN },
    { "ARK's own failure",                    WEB_ANSWERED,   500, "InternalServiceError", "", 0, -1, false, NEWS_UNKNOWN },
    { "a wrong key",                          WEB_ANSWERED,   401, "AuthenticationError", "", 0, -1, false, NEWS_ACCOUNT_CLOSED },
    { "a firewall's 403",                     WEB_ANSWERED,   403, NULL, "", 0, -1, false, NEWS_ACCOUNT_CLOSED },
    { "no balance",                           WEB_ANSWERED,   403, "AccountOverdueError", "", 0, -1, false, NEWS_ACCOUNT_CLOSED },
    { "a blocked account",                    WEB_ANSWERED,   401, "InvalidAccountStatus", "", 0, -1, false, NEWS_ACCOUNT_CLOSED },
    { "no subscription",                      WEB_ANSWERED,   400, "InvalidSubscription", "", 0, -1, false, NEWS_ACCOUNT_CLOSED },
    { "the model is not open",                WEB_ANSWERED,   404, "ModelNotOpen", "", 0, -1, false, NEWS_MODEL_CLOSED },
    { "the path is not there",                WEB_ANSWERED,   404, NULL, "", 0, -1, false, NEWS_MODEL_CLOSED },
    { "a spending limit",                     WEB_ANSWERED,   429, "SetLimitExceeded", "", 0, -1, false, NEWS_MODEL_CLOSED },
    { "a free trial that is used up",         WEB_ANSWERED,   429, "QuotaExceeded", "Your FREE TRIAL is used up", 0, -1, false, NEWS_MODEL_CLOSED },
    { "a quota that begins again",            WEB_ANSWERED,   429, "QuotaExceeded", "It will reset at 2026-12-01 00:00:00", 0, -1, false, NEWS_MODEL_CLOSED },
    { "a plan that is used up",               WEB_ANSWERED,   429, "QuotaExceeded.AgentPlanQuotaExceeded", "", 0, -1, false, NEWS_MODEL_CLOSED },
    { "a full queue at ARK",                  WEB_ANSWERED,   429, "QuotaExceeded", "You have exceeded the quota of queued tasks", 0, -1, false, NEWS_BUSY },
    { "images a minute",                      WEB_ANSWERED,   429, "ModelAccountIpmRateLimitExceeded", "", 0, -1, false, NEWS_BUSY },
    { "an overload",                          WEB_ANSWERED,   503, "ServerOverloaded", "", 0, -1, false, NEWS_BUSY },
    { "refused content",                      WEB_ANSWERED,   400, "InputTextSensitiveContentDetected", "", 0, -1, false, NEWS_NONE },
    { "a bad request",                        WEB_ANSWERED,   400, "InvalidParameter", "", 0, -1, false, NEWS_NONE },
    { "the risk product's own failure",       WEB_ANSWERED,   400, "ContentSecurityDetectionError", "", 0, -1, false, NEWS_NONE },
    { "a download that took too long",        WEB_ANSWERED,   400, "InvalidParameter", "Timeout while downloading url=x", 0, -1, false, NEWS_NONE },
    { "no image, and none counted",           WEB_ANSWERED,   200, NULL, "", 0, 0, false, NEWS_NONE },
    { "cancelled in the call",                WEB_BROKEN,      0,   NULL, "", 0, -1, true, NEWS_NONE },
    { "cancelled, and ARK failed",            WEB_ANSWERED,   502, NULL, "", 0, -1, true, NEWS_NONE },
};
/* clang-format on */

static struct verdict decide(const struct evidence *evidence)
{
    struct verdict verdict;

    verdict_decide(evidence, &verdict);
    return verdict;
}

static struct ark_result answer(int status, const char *code, const char *message)
{
    struct ark_result ark = {
        .http_status = status, .expected = 1, .generated = -1, .completed = status > 0, .has_error = code != NULL};

    (void)snprintf(ark.error.code, sizeof(ark.error.code), "%s", code ? code : "");
    (void)snprintf(ark.error.message, sizeof(ark.error.message), "%s", message);
    return ark;
}

static struct evidence evidence_of(const struct ark_result *ark)
{
    return (struct evidence){.end = WEB_ANSWERED,
                             .words = "",
                             .ark = ark,
                             .attempt = 1,
                             .max_attempts = 5,
                             .paid_calls = 1,
                             .max_paid_calls = 2,
                             .now_ms = NOW};
}

static void each_result_gives_its_news(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++) {
        struct ark_result ark = answer(calls[i].status, calls[i].code, calls[i].message);
        struct evidence evidence = evidence_of(&ark);
        struct verdict verdict;

        print_message("  %s\n", calls[i].name);
        ark.images = calls[i].images;
        ark.generated = calls[i].generated;
        evidence.end = calls[i].end;
        evidence.cancelled = calls[i].cancelled;
        verdict = decide(&evidence);
        assert_int_equal(account_news_of(&verdict), calls[i].want);
    }
}

static void each_news_has_its_effect(void **state)
{
    (void)state;
    for (int news = 0; news < NEWS_COUNT; news++) {
        const struct account_effect *effect = account_effect_of((enum account_news)news);

        assert_int_equal(effect->of_account, news == NEWS_UNREACHABLE || news == NEWS_ACCOUNT_CLOSED);
        assert_int_equal(effect->accepted, news == NEWS_ACCEPTED);
        assert_int_equal(effect->refused, news == NEWS_BUSY);
        assert_int_equal(effect->closing, news == NEWS_ACCOUNT_CLOSED || news == NEWS_MODEL_CLOSED);
        assert_int_equal(effect->failed, effect->closing || news == NEWS_UNREACHABLE || news == NEWS_UNKNOWN);
    }
}

/* -- the verdict on the task */

static void an_exhausted_quota_defers_the_task_until_the_reset(void **state)
{
    static const struct {
        const char *message;
        int64_t wait_ms;
    } rows[] = {
        {"It will reset at 2026-11-30 18:00:01 +0800 CST.", 1000                        },
        {"It will reset at 2026-11-30 23:00:00.",           5 * INT64_C(3600000)        },
        {"It will reset at 2026-12-30 18:00:00.",           30 * INT64_C(86400000)      },
        {"It will reset at 2027-11-30 18:00:00.",           0 /* more than a month */   },
        {"It will reset at 2026-11-30 17:59:59.",           0 /* that time has passed */},
        {"It will reset at {time}.",                        0                           },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct ark_result ark = answer(429, "QuotaExceeded", rows[i].message);
        struct evidence evidence = evidence_of(&ark);
        struct verdict verdict;

        print_message("  %s\n", rows[i].message);
        evidence.attempt = evidence.max_attempts;
        verdict = decide(&evidence);
        assert_int_equal(verdict.action, VERDICT_DEFER);
        assert_int_equal(verdict.charge, CHARGE_VOID);
        assert_int_equal(verdict.delay_ms, rows[i].wait_ms);
        assert_int_equal(verdict.until_ms, rows[i].wait_ms ? NOW + rows[i].wait_ms : 0);
        assert_non_null(strstr(verdict.words, rows[i].message));
    }
}

static void these_errors_are_retried_once(void **state)
{
    static const char *const errors[][2] = {
        {"ContentSecurityDetectionError", ""                                              },
        {"InvalidParameter",              "Timeout while downloading url=https://x.test/a"},
        {"InvalidParameter.url",          "error: timeout while downloading url"          },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++)
        for (int attempt = 1; attempt <= 5; attempt++)
            for (int max_attempts = attempt; max_attempts <= 5; max_attempts++) {
                struct ark_result ark = answer(400, errors[i][0], errors[i][1]);
                struct evidence evidence = evidence_of(&ark);
                struct verdict verdict;

                evidence.attempt = attempt;
                evidence.max_attempts = max_attempts;
                evidence.paid_calls = evidence.max_paid_calls; /* it is not charged, so the budget does not matter */
                verdict = decide(&evidence);
                assert_int_equal(verdict.action, attempt == 1 && max_attempts > 1 ? VERDICT_RETRY : VERDICT_FAIL);
                assert_int_equal(verdict.charge, CHARGE_VOID);
            }
}

/* The first task fails with the reason. A later task with the same error is deferred while the account or model is closed. */
static void a_closed_account_fails_the_first_task_and_defers_later_ones(void **state)
{
    static const struct {
        int status;
        const char *code;
        bool defers;
    } rows[] = {
        {401, "AuthenticationError",               true },
        {403, NULL,                                true },
        {403, "AccountOverdueError",               true },
        {404, "ModelNotOpen",                      true },
        {429, "SetLimitExceeded",                  true },
        {429, "QuotaExceeded",                     true },
        {400, "InvalidParameter",                  false},
        {400, "InputTextSensitiveContentDetected", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct ark_result ark = answer(rows[i].status, rows[i].code, "");
        struct evidence evidence = evidence_of(&ark);

        evidence.attempt = evidence.max_attempts;
        assert_int_equal(decide(&evidence).action, VERDICT_FAIL);
        assert_int_equal(verdict_is_closing(decide(&evidence).problem), rows[i].defers);
        evidence.closed = true;
        assert_int_equal(decide(&evidence).action, rows[i].defers ? VERDICT_DEFER : VERDICT_FAIL);
        evidence.cancelled = true;
        assert_int_equal(decide(&evidence).action, VERDICT_CANCELLED);
    }
}

/* A failure that the task did not cause uses up neither its attempts nor its budget. */
static void an_unreachable_or_busy_ark_defers_even_the_last_attempt(void **state)
{
    struct ark_result none = answer(0, NULL, ""), busy = answer(429, NULL, "");
    struct evidence evidence = evidence_of(&none);

    (void)state;
    evidence.attempt = evidence.max_attempts;
    evidence.paid_calls = evidence.max_paid_calls;
    evidence.end = WEB_NOT_SENT;
    assert_int_equal(decide(&evidence).action, VERDICT_DEFER);
    evidence.end = WEB_ANSWERED;
    evidence.ark = &busy;
    busy.retry_after_ms = 7000;
    assert_int_equal(decide(&evidence).action, VERDICT_DEFER);
    assert_int_equal(decide(&evidence).delay_ms, 7000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_result_gives_its_news),
        cmocka_unit_test(each_news_has_its_effect),
        cmocka_unit_test(an_exhausted_quota_defers_the_task_until_the_reset),
        cmocka_unit_test(these_errors_are_retried_once),
        cmocka_unit_test(a_closed_account_fails_the_first_task_and_defers_later_ones),
        cmocka_unit_test(an_unreachable_or_busy_ark_defers_even_the_last_attempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
