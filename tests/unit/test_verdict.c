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

/* Common to all rows: the first of five attempts, the first of two paid calls. */
static struct verdict decide(enum web_end end, const struct ark_result *ark)
{
    struct evidence evidence = {
        .end = end, .words = "w", .ark = ark, .attempt = 1, .max_attempts = 5, .paid_calls = 1, .max_paid_calls = 2};
    struct verdict verdict;

    if (end == WEB_ANSWERED)
        evidence.words = "";
    verdict_decide(&evidence, &verdict);
    return verdict;
}

static void assert_verdict(const struct verdict *verdict, enum verdict_action action, enum charge charge,
                           enum problem problem, bool busy)
{
    assert_string_equal(verdict_action_name(verdict->action), verdict_action_name(action));
    assert_string_equal(charge_name(verdict->charge), charge_name(charge));
    if (problem != PROBLEM_COUNT)
        assert_string_equal(problem_code(verdict->problem), problem_code(problem));
    assert_int_equal(verdict->problem, problem);
    assert_int_equal(account_news_of(verdict) == NEWS_BUSY, busy);
}

/* The expected verdict: action, charge, problem, and whether ARK refused because of load. */
#define FAIL(name)  VERDICT_FAIL, CHARGE_VOID, PROBLEM_ARK_##name, false
#define RETRY(name) VERDICT_RETRY, CHARGE_VOID, PROBLEM_ARK_##name, false
#define DEFER(name) VERDICT_DEFER, CHARGE_VOID, PROBLEM_ARK_##name, false
#define BUSY(name)  VERDICT_DEFER, CHARGE_VOID, PROBLEM_ARK_##name, true
#define LOST        VERDICT_FAIL, CHARGE_KNOWN, PROBLEM_ARK_NO_IMAGES, false
#define CONTENT     "OutputImageSensitiveContentDetected"
#define DEEPFAKE    CONTENT ".DeepFake"
#define INTERNAL    "InternalServiceError"
#define OPAQUE      VERDICT_FAIL, CHARGE_UNKNOWN, PROBLEM_OUTCOME_UNKNOWN, false
#define IN_DOUBT    VERDICT_RETRY, CHARGE_UNKNOWN, PROBLEM_OUTCOME_UNKNOWN, false

/* clang-format off */
static const struct {
    const char *name;
    int status;
    const char *code; /* NULL: no error from ARK in the body */
    enum verdict_action action;
    enum charge charge;
    enum problem problem;
    bool busy;
} refusals[] = {
    { "a bad parameter",                   400, "InvalidParameter",                       FAIL(INVALID_REQUEST) },
    { "a bad parameter, by name",          400, "InvalidParameter.UnsupportedParameter",  FAIL(INVALID_REQUEST) },
    { "a missing parameter",               400, "MissingParameter.prompt",                FAIL(INVALID_REQUEST) },
    { "a reference that is no image",      400, "InvalidImageURL.EmptyURL",               FAIL(INVALID_REQUEST) },
    { "a closed endpoint",                 400, "InvalidEndpoint.ClosedEndpoint",         FAIL(MODEL_UNAVAILABLE) },
    { "words that are refused",            400, "InputTextSensitiveContentDetected",      FAIL(CONTENT_REFUSED) },
    { "a reference with a real person",    400, "InputImageSensitiveContentDetected.Privacy", FAIL(CONTENT_REFUSED) },
    { "a result that is refused",          400, "OutputImageSensitiveContentDetected",    FAIL(CONTENT_REFUSED) },
    { "an old code for refused words",     400, "SensitiveContentDetected.Violence",      FAIL(CONTENT_REFUSED) },
    { "the risk product's refusal",        400, "OutputImageRiskDetection",               FAIL(CONTENT_REFUSED) },
    { "the risk product's own failure",    400, "ContentSecurityDetectionError",          RETRY(OVERLOADED) },
    { "a subscription that ended",         400, "InvalidSubscription",                    FAIL(UNAUTHORIZED) },
    { "a code that is not listed",         400, "SomethingNew.Here",                      FAIL(INVALID_REQUEST) },
    { "a 400 without a body",              400, NULL,                                     FAIL(INVALID_REQUEST) },
    { "a wrong key",                       401, "AuthenticationError",                    FAIL(UNAUTHORIZED) },
    { "a 401 without a body",              401, NULL,                                     FAIL(UNAUTHORIZED) },
    { "a payment that is due",             403, "AccountOverdueError",                    FAIL(UNAUTHORIZED) },
    { "a service that is not open",        403, "OperationDenied.ServiceNotOpen",         FAIL(UNAUTHORIZED) },
    { "a model that the key may not use",  403, "AccessDenied",                           FAIL(MODEL_UNAVAILABLE) },
    { "a permission that is missing",      403, "OperationDenied.PermissionDenied",       FAIL(MODEL_UNAVAILABLE) },
    { "a 403 in HTML",                     403, NULL,                                     FAIL(UNAUTHORIZED) },
    { "a model that does not exist",       404, "InvalidEndpointOrModel.NotFound",        FAIL(MODEL_UNAVAILABLE) },
    { "a model that is not open",          404, "ModelNotOpen",                           FAIL(MODEL_UNAVAILABLE) },
    { "an empty 404",                      404, NULL,                                     FAIL(MODEL_UNAVAILABLE) },
    { "a body that is too large",          413, NULL,                                     FAIL(INVALID_REQUEST) },
    { "a 422",                             422, NULL,                                     FAIL(INVALID_REQUEST) },
    { "headers that are too large",        431, NULL,                                     FAIL(INVALID_REQUEST) },
    { "a redirect to a sign-in page",      302, NULL,                                     DEFER(UNREACHABLE) },
    { "a redirect",                        307, NULL,                                     DEFER(UNREACHABLE) },
    { "a server that takes no POST",       405, NULL,                                     DEFER(UNREACHABLE) },
    { "a proxy that wants a password",     407, NULL,                                     DEFER(UNREACHABLE) },
    { "a wrong server",                    421, NULL,                                     DEFER(UNREACHABLE) },
    { "a network that wants a sign-in",    511, NULL,                                     DEFER(UNREACHABLE) },
    { "a 405 with ARK's error",            405, "SomethingNew",                           FAIL(INVALID_REQUEST) },
    { "images a minute",                   429, "ModelAccountIpmRateLimitExceeded",       BUSY(RATE_LIMITED) },
    { "requests a minute",                 429, "RateLimitExceeded.EndpointRPMExceeded",  BUSY(RATE_LIMITED) },
    { "a burst",                           429, "RequestBurstTooFast",                    BUSY(RATE_LIMITED) },
    { "too many in flight",                429, "InflightBatchsizeExceeded",              BUSY(RATE_LIMITED) },
    { "an overload",                       429, "ServerOverloaded",                       BUSY(OVERLOADED) },
    { "a quota that is used up",           429, "QuotaExceeded",                          FAIL(QUOTA_EXCEEDED) },
    { "a plan that is used up",            429, "QuotaExceeded.AgentPlanQuotaExceeded",   FAIL(QUOTA_EXCEEDED) },
    { "the user's own cap",                429, "SetLimitExceeded",                       FAIL(QUOTA_EXCEEDED) },
    { "a 429 with a code not listed",      429, "SomethingNew",                           BUSY(RATE_LIMITED) },
    { "a 429 without a body",              429, NULL,                                     BUSY(RATE_LIMITED) },
    { "an overload as 503",                503, "ServerOverloaded",                       BUSY(OVERLOADED) },
    { "an overload as 500",                500, "ServerOverloaded",                       BUSY(OVERLOADED) },
    { "a 503 with ARK's error",            503, "SomethingNew",                           BUSY(OVERLOADED) },
    { "a 503 in HTML",                     503, NULL,                                     IN_DOUBT },
    { "ARK's own failure",                 500, "InternalServiceError",                   IN_DOUBT },
    { "a 500 without a body",              500, NULL,                                     IN_DOUBT },
    { "a 502",                             502, NULL,                                     IN_DOUBT },
    { "a 502 with JSON",                   502, "SomethingNew",                           IN_DOUBT },
    { "a 504",                             504, NULL,                                     IN_DOUBT },
    { "a proxy's 408",                     408, NULL,                                     IN_DOUBT },
    { "a proxy's 499",                     499, NULL,                                     IN_DOUBT },
    { "an error in a stream",              200, "BadRequest",                             FAIL(INVALID_REQUEST) },
    { "refused content in a stream",       200, "OutputImageSensitiveContentDetected",    FAIL(CONTENT_REFUSED) },
    { "a rate limit in a stream",          200, "ModelAccountIpmRateLimitExceeded",       BUSY(RATE_LIMITED) },
    { "ARK's own failure in a stream",     200, "InternalServiceError",                   IN_DOUBT },
    { "an unknown error in a stream",      200, "SomethingNew",                           IN_DOUBT },
};
/* clang-format on */

static struct ark_result refusal(int status, const char *code)
{
    struct ark_result ark = {
        .http_status = status, .expected = 3, .generated = -1, .completed = true, .has_error = code != NULL};

    if (code)
        (void)snprintf(ark.error.code, sizeof(ark.error.code), "%s", code);
    return ark;
}

static void judges_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
        struct ark_result ark = refusal(refusals[i].status, refusals[i].code);
        struct verdict verdict = decide(WEB_ANSWERED, &ark);

        print_message("  %s\n", refusals[i].name);
        assert_verdict(&verdict, refusals[i].action, refusals[i].charge, refusals[i].problem, refusals[i].busy);
        assert_int_equal(verdict.retryable,
                         problem_retryable(refusals[i].problem) && refusals[i].charge == CHARGE_VOID);
        if (refusals[i].code)
            assert_non_null(strstr(verdict.words, refusals[i].code));
    }
}

static void a_status_counts_even_when_the_connection_broke_after_it(void **state)
{
    struct ark_result ark = refusal(400, NULL);
    struct verdict verdict;

    (void)state;
    ark.completed = false;
    ark.broke = "reset";
    verdict = decide(WEB_BROKEN, &ark);
    assert_verdict(&verdict, VERDICT_FAIL, CHARGE_VOID, PROBLEM_ARK_INVALID_REQUEST, false);
}

/* clang-format off */
static const struct {
    const char *name;
    enum web_end end;
    int status;
    bool completed;
    const char *slot_code; /* NULL: no slot failed */
    int generated;
    enum verdict_action action;
    enum charge charge;
    enum problem problem;
    bool busy;
} empties[] = {
    { "nobody there",                         WEB_NOT_SENT, 0,   false, NULL, -1, DEFER(UNREACHABLE) },
    { "a request that was cut",               WEB_PARTLY_SENT, 0, false, NULL, -1, DEFER(UNREACHABLE) },
    { "no answer",                            WEB_BROKEN,      0,   false, NULL, -1, IN_DOUBT },
    { "a cut after the head",                 WEB_BROKEN,      200, false, NULL, -1, IN_DOUBT },
    { "a cut after a refused slot",           WEB_BROKEN,      200, false, CONTENT, -1, IN_DOUBT },
    { "a body that is no answer",             WEB_ANSWERED,   200, false, NULL, -1, IN_DOUBT },
    { "every slot refused for its content",   WEB_ANSWERED,   200, true,  CONTENT, -1, FAIL(CONTENT_REFUSED) },
    { "the same, in a variety",               WEB_ANSWERED,   200, true,  DEEPFAKE, 0, FAIL(CONTENT_REFUSED) },
    { "every slot failed",                    WEB_ANSWERED,   200, true,  INTERNAL, 0, FAIL(NO_IMAGES) },
    { "no slot",                              WEB_ANSWERED,   200, true,  NULL, -1, OPAQUE },
    { "no slot, and nothing charged",         WEB_ANSWERED,   200, true,  NULL, 0, FAIL(NO_IMAGES) },
    { "no slot that we could read, but paid", WEB_ANSWERED,   200, true,  NULL, 2, LOST },
};
/* clang-format on */

static void judges_answers_without_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(empties); i++) {
        struct ark_result ark = refusal(empties[i].status, NULL);
        struct verdict verdict;

        print_message("  %s\n", empties[i].name);
        ark.completed = empties[i].completed;
        ark.broke = empties[i].completed ? NULL : "cut";
        ark.generated = empties[i].generated;
        if (empties[i].slot_code) {
            ark.failed = 1;
            (void)snprintf(ark.slot_error.code, sizeof(ark.slot_error.code), "%s", empties[i].slot_code);
        }
        verdict = decide(empties[i].end, &ark);
        assert_verdict(&verdict, empties[i].action, empties[i].charge, empties[i].problem, empties[i].busy);
    }
}

/* Complete answers without an image. Only an answer that says that no image was generated makes the call free. */
/* clang-format off */
static const struct {
    const char *name;
    struct ark_result ark; /* without the common fields */
    const char *slot_code, *code;
    enum verdict_action action;
    enum charge charge;
    enum problem problem;
    bool busy;
} statements[] = {
    { "an image, and no slot",               { .generated = 2 }, NULL, NULL, LOST },
    { "an image in a blank slot",            { .generated = 1, .failed = 2, .blank = 2 }, NULL, NULL, LOST },
    { "one blank slot, one refused",         { .generated = 1, .failed = 2, .blank = 1 }, CONTENT, NULL, LOST },
    { "a refused slot, and an image",        { .generated = 1, .failed = 1 }, CONTENT, NULL, OPAQUE },
    { "more images than blank slots",        { .generated = 2, .failed = 2, .blank = 1 }, CONTENT, NULL, OPAQUE },
    { "tokens, and no image",                { .generated = 0, .has_tokens = true }, NULL, NULL, OPAQUE },
    { "tokens, and a refused slot",          { .generated = -1, .has_tokens = true, .failed = 1 }, CONTENT, NULL, OPAQUE },
    { "a success without an image",          { .generated = -1, .failed = 1, .blank = 1, .promised = 1 }, NULL, NULL, OPAQUE },
    { "the same, and none counted",          { .generated = 0, .failed = 1, .blank = 1, .promised = 1 }, NULL, NULL, OPAQUE },
    { "a blank slot, and none counted",      { .generated = 0, .failed = 1, .blank = 1 }, NULL, NULL, FAIL(NO_IMAGES) },
    { "a blank slot, and no count",          { .generated = -1, .failed = 1, .blank = 1 }, NULL, NULL, OPAQUE },
    { "a refused and a blank slot",          { .generated = -1, .failed = 2, .blank = 1 }, CONTENT, NULL, OPAQUE },
    { "an internal error, and no count",     { .generated = -1, .failed = 1, .stopped = true }, INTERNAL, NULL, OPAQUE },
    { "an internal error, and none counted", { .generated = 0, .failed = 1, .stopped = true }, INTERNAL, NULL, FAIL(NO_IMAGES) },
    { "a job",                               { .generated = -1, .is_job = true }, NULL, NULL, OPAQUE },
    { "a job with a count",                  { .generated = 0, .is_job = true }, NULL, NULL, OPAQUE },
    { "a refusal, and none counted",         { .generated = 0 }, NULL, CONTENT, FAIL(CONTENT_REFUSED) },
    { "a refusal, and an image",             { .generated = 1 }, NULL, CONTENT, OPAQUE },
    { "a refusal after a success",           { .generated = -1, .failed = 1, .blank = 1, .promised = 1 }, NULL, "BadRequest", OPAQUE },
    { "a rate limit, and an image",          { .generated = 1 }, NULL, "ServerOverloaded", OPAQUE },
    { "an unknown error, and an image",      { .generated = 1 }, NULL, "SomethingNew", OPAQUE },
    { "an internal error, and an image",     { .generated = 1 }, NULL, INTERNAL, OPAQUE },
};
/* clang-format on */

static void an_answer_is_void_only_if_ark_generated_no_image(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(statements); i++) {
        struct ark_result ark = statements[i].ark;
        struct verdict verdict;

        print_message("  %s\n", statements[i].name);
        ark.http_status = 200;
        ark.expected = 3;
        ark.completed = true;
        ark.has_error = statements[i].code;
        (void)snprintf(ark.error.code, sizeof(ark.error.code), "%s", statements[i].code ? statements[i].code : "");
        if (statements[i].slot_code)
            (void)snprintf(ark.slot_error.code, sizeof(ark.slot_error.code), "%s", statements[i].slot_code);
        verdict = decide(WEB_ANSWERED, &ark);
        assert_verdict(&verdict, statements[i].action, statements[i].charge, statements[i].problem, statements[i].busy);
        assert_true(verdict.charge == CHARGE_VOID || !verdict.retryable);
    }
}

/* Every kind of result in the tables above, in all combinations with the counts. */
struct world {
    struct ark_result ark;
    struct evidence evidence;
};

typedef void check_fn(const struct world *world, const struct verdict *verdict);

static void for_each_count(struct world *world, check_fn *check)
{
    for (int bits = 0; bits < 2 * 2 * 4 * 3; bits++) {
        struct verdict verdict;

        world->evidence.cancelled = bits % 2;
        world->ark.images = bits / 2 % 2;
        world->evidence.attempt = 1 + bits / 4 % 4;
        world->evidence.max_attempts = 3;
        world->evidence.paid_calls = 1 + bits / 16 % 3;
        world->evidence.max_paid_calls = 2;
        verdict_decide(&world->evidence, &verdict);
        check(world, &verdict);
    }
}

static void for_each_result(check_fn *check)
{
    struct world world = {.evidence = {.words = "w"}};

    world.evidence.ark = &world.ark;
    for (int end = WEB_NOT_SENT; end <= WEB_ANSWERED; end++)
        for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++)
            for (int completed = 0; completed < 2; completed++) {
                world.evidence.end = (enum web_end)end;
                world.ark = end <= WEB_PARTLY_SENT ? refusal(0, NULL) : refusal(refusals[i].status, refusals[i].code);
                world.ark.completed = completed;
                world.ark.broke = completed ? NULL : "cut";
                world.ark.retry_after_ms = 7;
                for_each_count(&world, check);
            }
}

static void check_an_image_is_done(const struct world *world, const struct verdict *verdict)
{
    if (world->ark.images) {
        assert_int_equal(verdict->action, VERDICT_DONE);
        assert_int_equal(verdict->charge, CHARGE_KNOWN);
        assert_string_equal(verdict->words, "");
    } else {
        assert_int_not_equal(verdict->action, VERDICT_DONE);
        assert_string_not_equal(verdict->words, "");
    }
}

static void check_limits(const struct world *world, const struct verdict *verdict)
{
    const struct evidence *evidence = &world->evidence;

    if (verdict->action != VERDICT_RETRY)
        return;
    assert_true(evidence->attempt < evidence->max_attempts);
    assert_true(verdict->charge != CHARGE_UNKNOWN || evidence->paid_calls < evidence->max_paid_calls);
    assert_int_not_equal(verdict->charge, CHARGE_KNOWN);
    assert_false(evidence->cancelled);
    assert_int_equal(verdict->delay_ms, 7);
}

static void check_cancelled(const struct world *world, const struct verdict *verdict)
{
    if (world->ark.images)
        return;
    assert_int_equal(verdict->action == VERDICT_CANCELLED, world->evidence.cancelled);
    assert_int_equal(verdict->problem == PROBLEM_CANCELLED, world->evidence.cancelled);
}

static void check_void_calls_are_certain(const struct world *world, const struct verdict *verdict)
{
    if (world->evidence.end <= WEB_PARTLY_SENT && !world->ark.images && !world->ark.generated)
        assert_int_equal(verdict->charge, CHARGE_VOID);
    if (verdict->charge == CHARGE_VOID)
        assert_true(world->evidence.end <= WEB_PARTLY_SENT || world->ark.has_error || world->ark.completed ||
                    world->ark.http_status >= 300);
    if (account_news_of(verdict) == NEWS_BUSY)
        assert_int_equal(verdict->charge, CHARGE_VOID);
}

static void check_failures_have_an_event_code(const struct world *world, const struct verdict *verdict)
{
    (void)world;
    if (verdict->action == VERDICT_DONE)
        return;
    assert_in_range(verdict->problem, 0, PROBLEM_COUNT - 1);
    assert_int_equal(problem_status(verdict->problem), 0);
    assert_int_equal(verdict->retryable, problem_retryable(verdict->problem) && verdict->charge == CHARGE_VOID);
}

static void a_task_with_an_image_is_done(void **state)
{
    (void)state;
    for_each_result(check_an_image_is_done);
}

static void a_retry_stays_within_attempts_and_budget(void **state)
{
    (void)state;
    for_each_result(check_limits);
}

static void a_cancelled_task_without_images_ends_cancelled(void **state)
{
    (void)state;
    for_each_result(check_cancelled);
}

static void a_call_is_void_only_if_certain(void **state)
{
    (void)state;
    for_each_result(check_void_calls_are_certain);
}

static void every_failure_has_a_code_for_events(void **state)
{
    (void)state;
    for_each_result(check_failures_have_an_event_code);
}

static void quotes_arks_error(void **state)
{
    struct ark_result ark = refusal(400, "InvalidParameter");
    struct verdict verdict;

    (void)state;
    (void)snprintf(ark.error.message, sizeof(ark.error.message), "size is wrong. Request id: 0217");
    verdict = decide(WEB_ANSWERED, &ark);
    assert_string_equal(verdict.words,
                        "ARK refused the request: InvalidParameter: size is wrong. Request id: 0217 (HTTP 400)");

    ark = refusal(0, NULL);
    ark.broke = "cut";
    verdict = decide(WEB_NOT_SENT, &ark);
    assert_string_equal(verdict.words, "ARK could not be reached: w");

    ark = refusal(200, NULL);
    ark.completed = false;
    ark.broke = "the stream ended before it was complete";
    verdict = decide(WEB_ANSWERED, &ark);
    assert_string_equal(verdict.words, "ARK was called, and the outcome is unknown: "
                                       "the stream ended before it was complete (HTTP 200)");

    ark = refusal(504, NULL);
    verdict = decide(WEB_ANSWERED, &ark);
    assert_string_equal(verdict.words, "ARK was called, and the outcome is unknown (HTTP 504)");
}

static void has_room_for_the_longest_error(void **state)
{
    struct ark_result ark = refusal(400, "InvalidParameter");
    struct verdict verdict;

    (void)state;
    memset(ark.error.code, 'c', sizeof(ark.error.code) - 1);
    memset(ark.error.message, 'm', sizeof(ark.error.message) - 1);
    verdict = decide(WEB_ANSWERED, &ark);
    assert_non_null(strstr(verdict.words, "m (HTTP 400)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_refusals),
        cmocka_unit_test(a_status_counts_even_when_the_connection_broke_after_it),
        cmocka_unit_test(judges_answers_without_images),
        cmocka_unit_test(an_answer_is_void_only_if_ark_generated_no_image),
        cmocka_unit_test(a_task_with_an_image_is_done),
        cmocka_unit_test(a_retry_stays_within_attempts_and_budget),
        cmocka_unit_test(a_cancelled_task_without_images_ends_cancelled),
        cmocka_unit_test(a_call_is_void_only_if_certain),
        cmocka_unit_test(every_failure_has_a_code_for_events),
        cmocka_unit_test(quotes_arks_error),
        cmocka_unit_test(has_room_for_the_longest_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
