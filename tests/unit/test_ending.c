/* How an attempt ends: whether another one follows and when, what the call cost, and the message for FINISH. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/macros.h"
#include "worker/ark/result.h"
#include "worker/job/ending.h"
#include "worker/job/refusal.h"

enum { IMAGE_MICROS = 30000, REFERENCES_MICROS = 1000 };

static const struct backoff backoff = {.base_ms = 1000, .max_ms = 60000};
static const struct attempt first = {.id = "alice.t", .number = 1, .max = 3};
static const struct refusal passing = {PROBLEM_NOT_DURABLE, true, true, "not confirmed"};
static const struct refusal lasting = {PROBLEM_INVALID_TASK, false, false, "unreadable"};

/* -- without a call */

static const struct {
    const char *name;
    const struct refusal *refusal;
    int number;
    bool is_recorded;
    enum verdict_action action;
    enum charge charge;
} refused[] = {
    {"a cause that may pass leads to another attempt", &passing, 1, false, VERDICT_RETRY, CHARGE_NONE},
    {"a recorded call returns to the budget",          &passing, 2, true,  VERDICT_RETRY, CHARGE_VOID},
    {"the last attempt ends the task",                 &passing, 3, true,  VERDICT_FAIL,  CHARGE_VOID},
    {"a cause that lasts ends the task at once",       &lasting, 1, false, VERDICT_FAIL,  CHARGE_NONE},
    {"also after BEGIN",                               &lasting, 1, true,  VERDICT_FAIL,  CHARGE_VOID},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        const struct attempt attempt = {
            .id = "alice.t", .number = refused[i].number, .max = 3, .is_recorded = refused[i].is_recorded};
        struct ending ending = ending_refused(&attempt, refused[i].refusal);

        if (ending.action != refused[i].action || ending.charge != refused[i].charge)
            fail_msg("%s: %s, %s", refused[i].name, verdict_action_name(ending.action), charge_name(ending.charge));
        assert_int_equal(ending.problem, refused[i].refusal->problem);
        assert_int_equal(ending.retryable, refused[i].refusal->retryable);
        assert_null(ending.ark);
    }
}

/* -- the delay */

static const struct {
    const char *name;
    enum verdict_action action;
    enum charge charge;
    int64_t asked_ms;
    struct attempt attempt;
    double dice;
    int64_t want_ms;
} delays[] = {
    {"ARK's delay comes first",               VERDICT_DEFER, CHARGE_VOID,    7000, {.number = 1, .is_trial = true}, 0.5, 7000 },
    {"a trial waits the longest",             VERDICT_RETRY, CHARGE_VOID,    0,    {.number = 1, .is_trial = true}, 0.5, 60000},
    {"a retry counts attempts",               VERDICT_RETRY, CHARGE_VOID,    0,    {.number = 3, .deferrals = 9},   0.5, 2000 },
    {"a deferral counts deferrals",           VERDICT_DEFER, CHARGE_VOID,    0,    {.number = 9, .deferrals = 2},   0.5, 2000 },
    {"the first deferral waits the base",     VERDICT_DEFER, CHARGE_VOID,    0,    {.number = 9},                   0.5, 500  },
    {"a call that was not charged may hurry", VERDICT_RETRY, CHARGE_VOID,    0,    {.number = 1},                   0.1, 100  },
    {"an unknown outcome does not",           VERDICT_RETRY, CHARGE_UNKNOWN, 0,    {.number = 1},                   0.1, 250  },
    {"nor waits longer than the backoff",     VERDICT_RETRY, CHARGE_UNKNOWN, 0,    {.number = 1},                   0.5, 500  },
};

static void test_delays(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(delays); i++) {
        const struct ending ending = {
            .action = delays[i].action, .charge = delays[i].charge, .delay_ms = delays[i].asked_ms};
        int64_t delay_ms = ending_delay_ms(&ending, &delays[i].attempt, &backoff, delays[i].dice);

        if (delay_ms != delays[i].want_ms)
            fail_msg("%s: %lld ms", delays[i].name, (long long)delay_ms);
    }
}

/* -- the cost */

static struct bill make_bill(int images, int arrived)
{
    const struct model_price price = {.tier_count = 1, .tiers = {{.micros = IMAGE_MICROS}}};
    struct bill bill = {.tariff = price_tariff(&price, "USD", "2K", images, 0)};

    bill.tariff.references_micros = REFERENCES_MICROS;
    bill.tariff.call_micros += REFERENCES_MICROS;
    for (int i = 0; i < arrived; i++)
        price_add_image(&bill.images, &bill.tariff, "2048x2048");
    return bill;
}

static void a_call_that_was_not_charged_costs_nothing(void **state)
{
    const struct bill bill = make_bill(3, 0);

    (void)state;
    assert_int_equal(ending_cost(&(struct ending){.charge = CHARGE_NONE}, &bill).micros, 0);
    assert_int_equal(ending_cost(&(struct ending){.charge = CHARGE_VOID}, &bill).micros, 0);
}

static void an_unknown_outcome_costs_as_much_as_it_can(void **state)
{
    const struct bill bill = make_bill(3, 0);
    const struct cost cost = ending_cost(&(struct ending){.charge = CHARGE_UNKNOWN}, &bill);

    (void)state;
    assert_true(cost.known && cost.estimated);
    assert_int_equal(cost.micros, 3 * IMAGE_MICROS + REFERENCES_MICROS);
}

static void assert_cost_words(enum charge charge, const struct bill *bill, const char *want)
{
    const struct ending ending = {.charge = charge};
    struct buf words;

    buf_init(&words, PRICE_TEXT_MAX);
    ending_write_cost(&words, &ending, bill);
    assert_int_equal(buf_error(&words), 0);
    assert_string_equal(buf_text(&words), want);
    buf_deinit(&words);
}

static void the_log_has_the_cost(void **state)
{
    const struct bill bill = make_bill(3, 0), unknown = {.tariff = {.price = {.tier_count = 0}}};

    (void)state;
    assert_cost_words(CHARGE_UNKNOWN, &bill, "cost=0.091 currency=USD estimated=1");
    assert_cost_words(CHARGE_VOID, &bill, "cost=0 currency=USD estimated=0");
    assert_cost_words(CHARGE_UNKNOWN, &unknown, "cost=- currency=- estimated=0");
}

/* Two images arrived, and ARK counts three. */
static void a_charged_call_costs_what_arrived_and_what_ark_counts(void **state)
{
    const struct bill bill = make_bill(3, 2);
    struct ark_result ark = {.http_status = 200, .images = 2, .expected = 3, .generated = 2, .completed = true};
    const struct ending ending = {.action = VERDICT_DONE, .charge = CHARGE_KNOWN, .ark = &ark};
    struct cost cost;

    (void)state;
    cost = ending_cost(&ending, &bill);
    assert_true(cost.known);
    assert_false(cost.estimated);
    assert_int_equal(cost.micros, 2 * IMAGE_MICROS + REFERENCES_MICROS);
    ark.generated = 3;
    cost = ending_cost(&ending, &bill);
    assert_int_equal(cost.micros, 3 * IMAGE_MICROS + REFERENCES_MICROS);
}

/* -- the message */

static void assert_message(struct ending ending, const char *data, const char *cost)
{
    const struct bill bill = make_bill(1, 1);
    struct end_message message;

    assert_int_equal(ending_write(&message, &ending, &first, &bill), 0);
    assert_int_equal(message.report.action, ending.action);
    assert_int_equal(message.report.charge, ending.charge);
    assert_int_equal(message.report.delay_ms, ending_is_delayed(&ending) ? ending.delay_ms : 0);
    assert_string_equal(message.report.data, data);
    assert_string_equal(message.report.cost, cost);
    end_message_deinit(&message);
}

static const struct ark_result one_image = {.http_status = 200,
                                            .images = 1,
                                            .expected = 1,
                                            .generated = 1,
                                            .completed = true,
                                            .usage = "{\"generated_images\":1}"};

static void a_done_task_has_the_usage_and_the_cost(void **state)
{
    const struct verdict verdict = {.action = VERDICT_DONE, .charge = CHARGE_KNOWN, .problem = PROBLEM_COUNT};

    (void)state;
    assert_message(ending_of_call(&verdict, &one_image), "\"usage\":{\"generated_images\":1}",
                   "{\"currency\":\"USD\",\"amount\":0.031,\"estimated\":false}");
}

static void a_failed_task_has_the_error_and_what_ark_named(void **state)
{
    const struct ark_result ark = {.http_status = 400, .request_id = "0217", .error = {.code = "InvalidParameter"}};
    const struct verdict verdict = {.action = VERDICT_FAIL,
                                    .charge = CHARGE_VOID,
                                    .problem = PROBLEM_ARK_INVALID_REQUEST,
                                    .delay_ms = 5000, /* only tasks that go back wait */
                                    .words = "no"};

    (void)state;
    assert_message(ending_of_call(&verdict, &ark),
                   "{\"code\":\"ark_invalid_request\",\"error\":\"no\",\"retryable\":false,"
                   "\"more\":\"\\\"request_id\\\":\\\"0217\\\",\\\"ark_code\\\":\\\"InvalidParameter\\\"\"}",
                   "");
    assert_message(ending_refused(&first, &lasting),
                   "{\"code\":\"invalid_task\",\"error\":\"unreadable\",\"retryable\":false}", "");
}

/* The event's message for people is between its first member and `tail`. */
static void assert_event(struct ending ending, const char *tail)
{
    static const char head[] = "{\"task_id\":\"t\",";
    const struct bill bill = make_bill(1, 1);
    struct end_message message;
    size_t len;

    assert_int_equal(ending_write(&message, &ending, &first, &bill), 0);
    assert_int_equal(message.report.delay_ms, ending.delay_ms);
    assert_string_equal(message.report.cost, "");
    len = strlen(message.report.data);
    assert_memory_equal(message.report.data, head, sizeof(head) - 1);
    assert_true(len > strlen(tail));
    assert_string_equal(message.report.data + len - strlen(tail), tail);
    end_message_deinit(&message);
}

static void a_delayed_task_has_the_event_of_its_delay(void **state)
{
    struct ending ending = ending_refused(&first, &passing);

    (void)state;
    ending.delay_ms = 1500;
    assert_event(ending, "\"stage\":\"retrying\",\"attempt\":1,\"delay_ms\":1500,"
                         "\"code\":\"not_durable\",\"error\":\"not confirmed\"}");
}

static void a_task_that_goes_back_has_its_event(void **state)
{
    (void)state;
    assert_event(ending_handed_back(&first), "\"stage\":\"requeued\"}");
}

static void a_cancelled_task_says_nothing(void **state)
{
    const struct attempt recorded = {.id = "alice.t", .number = 1, .max = 3, .is_recorded = true};

    (void)state;
    assert_message(ending_cancelled(&first), "", "");
    assert_int_equal(ending_cancelled(&first).charge, CHARGE_NONE);
    assert_int_equal(ending_cancelled(&recorded).charge, CHARGE_VOID);
}

static void only_some_actions_end_the_task(void **state)
{
    (void)state;
    assert_true(action_ends_task(VERDICT_DONE) && action_ends_task(VERDICT_FAIL) &&
                action_ends_task(VERDICT_CANCELLED));
    assert_false(action_ends_task(VERDICT_RETRY) || action_ends_task(VERDICT_DEFER) ||
                 action_ends_task(VERDICT_HANDBACK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(a_call_that_was_not_charged_costs_nothing),
        cmocka_unit_test(an_unknown_outcome_costs_as_much_as_it_can),
        cmocka_unit_test(a_charged_call_costs_what_arrived_and_what_ark_counts),
        cmocka_unit_test(the_log_has_the_cost),
        cmocka_unit_test(a_done_task_has_the_usage_and_the_cost),
        cmocka_unit_test(a_failed_task_has_the_error_and_what_ark_named),
        cmocka_unit_test(a_delayed_task_has_the_event_of_its_delay),
        cmocka_unit_test(a_task_that_goes_back_has_its_event),
        cmocka_unit_test(a_cancelled_task_says_nothing),
        cmocka_unit_test(only_some_actions_end_the_task),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
