/* The arguments and the reply of the GOVERN script, and the booking corrections that a report carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "worker/account/bookings.h"
#include "worker/account/govern.h"
#include "worker/account/scope.h"

enum { TEXT_MAX = 64 * 1024 };

static const struct govern_head head = {
    .worker = "w1",
    .ttl_ms = 30000,
    .want = 3,
    .images_per_call = 4,
    .model = "m",
    .calls_max = 10,
    .images_per_minute = 500,
};

static struct govern_report report;
static struct bookings bookings, lost;

static int set_up(void **state)
{
    (void)state;
    memset(&bookings, 0, sizeof(bookings));
    memset(&lost, 0, sizeof(lost));
    return 0;
}

static void assert_args(const char *expected)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < report.count; i++)
        buf_addf(&text, "%s%s", i ? "|" : "", report.args[i].len ? report.args[i].data : "");
    assert_string_equal(buf_text(&text), expected);
    buf_deinit(&text);
}

/* -- the report */

static void the_report_starts_with_the_request_and_the_limits(void **state)
{
    static const char *const coverages[] = {[GOVERN_CHANGES] = "", [GOVERN_ALL] = "1", [GOVERN_ALL_AFTER_LOSS] = "2"};
    char expected[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(coverages); i++) {
        struct govern_head own = head;

        own.coverage = (enum govern_coverage)i;
        govern_report_begin(&report, &own, &bookings);
        (void)snprintf(expected, sizeof(expected), "w1|30000|3|4|m|10|500|%s|0", coverages[i]);
        assert_args(expected);
    }
}

static void bookings_are_sent_after_the_head(void **state)
{
    struct scope account = {.name = ""}, model = {.name = "m2"};

    (void)state;
    bookings_add(&bookings, &account, 100, -2);
    bookings_add(&bookings, &model, 101, 7);
    govern_report_begin(&report, &head, &bookings);
    assert_args("w1|30000|3|4|m|10|500||2|100||-2|101|m2|7");
}

static void a_scope_without_failures_has_no_reason(void **state)
{
    struct scope scope = {
        .name = "m",
        .held = 2,
        .sent = {.ok = 3, .ok_ms = 4500, .refused = 1, .pause_ms = 700, .began_ms = 900, .why = "old"}
    };

    (void)state;
    report.count = 0;
    govern_report_add(&report, &scope, 1000);
    assert_args("m|2|3|4500|1|700|0|100||||0||");
}

static void a_failure_has_its_code_reason_and_age(void **state)
{
    struct scope scope = {
        .name = "",
        .sent = {.run = 2,
                 .began_ms = 250,
                 .closing = true,
                 .problem = PROBLEM_ARK_UNREACHABLE,
                 .why = "no route",
                 .until_ms = 5000,
                 .wanted = true}
    };

    (void)state;
    report.count = 0;
    govern_report_add(&report, &scope, 1000);
    assert_args("|0|0|0|0|0|2|750|1|ark_unreachable|no route|5000||1");
}

static void a_bad_probe_has_a_reason_and_a_good_one_has_none(void **state)
{
    static const struct {
        enum probe_result probe;
        const char *expected;
    } rows[] = {
        {PROBE_UNUSED, "m|0|0|0|0|0|0|0||||0|none|"                      },
        {PROBE_GOOD,   "m|0|0|0|0|0|0|0||||0|good|"                      },
        {PROBE_BAD,    "m|0|0|0|0|0|0|0||ark_unreachable|no route|0|bad|"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct scope scope = {
            .name = "m", .sent = {.problem = PROBLEM_ARK_UNREACHABLE, .why = "no route", .probe = rows[i].probe}
        };

        report.count = 0;
        govern_report_add(&report, &scope, 1000);
        assert_args(rows[i].expected);
    }
}

static void the_largest_report_fits(void **state)
{
    struct scope scope = {.name = "m"};

    (void)state;
    for (int i = 0; i < BOOKINGS_MAX; i++)
        bookings_add(&bookings, &scope, i, INT64_MIN);
    govern_report_begin(&report, &head, &bookings);
    for (int i = 0; i < GOVERN_SCOPES_MAX; i++)
        govern_report_add(&report, &scope, 0);
    assert_int_equal(report.count, GOVERN_ARGS_MAX);
}

/* -- bookings */

static void corrections_of_one_second_and_model_are_merged(void **state)
{
    struct scope one = {.name = "1"}, two = {.name = "2"};

    (void)state;
    bookings_add(&bookings, &one, 5, 3);
    bookings_add(&bookings, &two, 5, 1);
    bookings_add(&bookings, &one, 6, 1);
    bookings_add(&bookings, &one, 5, -1);
    bookings_add(&bookings, &one, 7, 0);
    assert_int_equal(bookings.count, 3);
    assert_int_equal(bookings.rows[0].images, 2);
    assert_int_equal(one.users, 2);
    assert_int_equal(two.users, 1);
    bookings_clear(&bookings);
    assert_int_equal(one.users + two.users, 0);
}

static void a_full_booking_table_drops_new_rows_and_still_merges(void **state)
{
    struct scope scope = {.name = "m"};

    (void)state;
    for (int i = 0; i <= BOOKINGS_MAX; i++)
        bookings_add(&bookings, &scope, i, 1);
    bookings_add(&bookings, &scope, BOOKINGS_MAX - 1, 1);
    assert_int_equal(bookings.count, BOOKINGS_MAX);
    assert_int_equal(bookings.rows[BOOKINGS_MAX - 1].images, 2);
    assert_int_equal(scope.users, BOOKINGS_MAX);
}

static void after_a_lost_report_charges_are_repeated_and_refunds_are_not(void **state)
{
    struct scope scope = {.name = "m"};

    (void)state;
    bookings_add(&bookings, &scope, 1, 5);
    bookings_add(&bookings, &scope, 2, -5);
    bookings_move(&lost, &bookings);
    assert_int_equal(bookings.count, 0);
    bookings_add(&bookings, &scope, 1, 1); /* meanwhile */
    bookings_repeat(&bookings, &lost);
    assert_int_equal(lost.count, 0);
    assert_int_equal(bookings.count, 1);
    assert_int_equal(bookings.rows[0].images, 6);
    assert_int_equal(scope.users, 1);
}

/* -- the reply */

static redisReply *parse_reply(const char *bytes)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void a_reply_has_permits_and_restricted_scopes(void **state)
{
    redisReply *reply = parse_reply("*18\r\n:2\r\n:0\r\n:8\r\n:1700\r\n"
                                    "$0\r\n\r\n$4\r\nopen\r\n$15\r\nark_unreachable\r\n:0\r\n:500\r\n:1\r\n:0\r\n"
                                    "$1\r\nm\r\n$9\r\nhalf_open\r\n$0\r\n\r\n$1\r\n1\r\n:0\r\n:0\r\n:1\r\n");
    struct govern_reply read;
    struct govern_row row;

    (void)state;
    assert_int_equal(govern_reply_read(reply, &read), 0);
    assert_int_equal(read.granted, 2);
    assert_int_equal(read.wait_ms, 0);
    assert_int_equal(read.second, 1700);
    assert_int_equal(govern_reply_rows(reply), 2);
    assert_true(govern_reply_row(reply, 0, &row));
    assert_string_equal(row.name, "");
    assert_int_equal(row.state, SCOPE_OPEN);
    assert_string_equal(row.code, "ark_unreachable");
    assert_true(row.probe && !row.opened && !row.calls);
    assert_true(govern_reply_row(reply, 1, &row));
    assert_string_equal(row.name, "m");
    assert_int_equal(row.state, SCOPE_HALF_OPEN);
    assert_true(!row.probe && row.opened && row.calls == 1);
    freeReplyObject(reply);
}

static void malformed_replies_of_GOVERN_are_refused(void **state)
{
    static const char *const replies[] = {
        "-ERR no\r\n",
        "+OK\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*3\r\n:1\r\n:2\r\n:3\r\n",
        "*4\r\n:1\r\n$1\r\nx\r\n:0\r\n:0\r\n",
    };
    struct govern_reply read;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
        redisReply *reply = parse_reply(replies[i]);

        assert_int_not_equal(govern_reply_read(reply, &read), 0);
        assert_int_equal(govern_reply_rows(reply), 0);
        freeReplyObject(reply);
    }
}

static void a_row_that_is_cut_or_has_no_numbers_is_skipped(void **state)
{
    redisReply *reply = parse_reply("*13\r\n:0\r\n:0\r\n:0\r\n:0\r\n"
                                    "$1\r\nm\r\n$4\r\nopen\r\n$0\r\n\r\n$1\r\nx\r\n:0\r\n:0\r\n:0\r\n"
                                    "$1\r\nn\r\n$4\r\nopen\r\n");
    struct govern_row row;

    (void)state;
    assert_int_equal(govern_reply_rows(reply), 1);
    assert_false(govern_reply_row(reply, 0, &row));
    freeReplyObject(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_report_starts_with_the_request_and_the_limits, set_up),
        cmocka_unit_test_setup(bookings_are_sent_after_the_head, set_up),
        cmocka_unit_test_setup(a_scope_without_failures_has_no_reason, set_up),
        cmocka_unit_test_setup(a_failure_has_its_code_reason_and_age, set_up),
        cmocka_unit_test_setup(a_bad_probe_has_a_reason_and_a_good_one_has_none, set_up),
        cmocka_unit_test_setup(the_largest_report_fits, set_up),
        cmocka_unit_test_setup(corrections_of_one_second_and_model_are_merged, set_up),
        cmocka_unit_test_setup(a_full_booking_table_drops_new_rows_and_still_merges, set_up),
        cmocka_unit_test_setup(after_a_lost_report_charges_are_repeated_and_refunds_are_not, set_up),
        cmocka_unit_test_setup(a_reply_has_permits_and_restricted_scopes, set_up),
        cmocka_unit_test_setup(malformed_replies_of_GOVERN_are_refused, set_up),
        cmocka_unit_test_setup(a_row_that_is_cut_or_has_no_numbers_is_skipped, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
