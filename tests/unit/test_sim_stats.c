#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "simulator/limits.h"
#include "simulator/stats.h"

static int64_t begin(struct sim_stats *stats, const char *prompt)
{
    char text[16] = "";

    /* The prompt is only valid during the call. */
    strncpy(text, prompt, sizeof(text) - 1);
    return sim_stats_begin(stats, &(struct sim_record){.prompt = text, .watermark = -1, .stream = true});
}

static void assert_contains(void (*write)(const struct sim_stats *, struct buf *), const struct sim_stats *stats,
                            const char *expected)
{
    struct buf out;

    buf_init(&out, 65536);
    write(stats, &out);
    if (!strstr(buf_text(&out), expected))
        fail_msg("%s is not in %s", expected, buf_text(&out));
    buf_deinit(&out);
}

static void test_a_call_is_recorded_and_counted(void **state)
{
    struct sim_stats *stats = sim_stats_create(4);
    int64_t number = begin(stats, "a \"cat\"");

    (void)state;
    sim_stats_status(stats, number, 200);
    sim_stats_image(stats, number, true);
    sim_stats_charge(stats, number, 30000);
    sim_stats_image(stats, number, false);
    sim_stats_delivered(stats, number, 1);
    sim_stats_outcome(stats, number, SIM_DISCONNECTED);
    sim_stats_outcome(stats, number, SIM_ANSWERED);
    sim_stats_end(stats, number, 7);
    assert_contains(sim_stats_write_calls, stats, "\"prompt\":\"a \\\"cat\\\"\"");
    assert_contains(sim_stats_write_calls, stats, "\"watermark\":null,\"stream\":true");
    assert_contains(
        sim_stats_write_calls, stats,
        "\"delivered\":1,\"failed\":1,\"billed\":1,\"charged_micros\":30000,\"outcome\":\"disconnected\"}]");
    assert_contains(sim_stats_write, stats,
                    "\"calls\":1,\"calls_by_status\":{\"200\":1},\"calls_open\":0,\"calls_max_open\":1");
    assert_contains(
        sim_stats_write, stats,
        "\"images_billed\":1,\"images_delivered\":1,\"images_failed\":1,\"charged_micros\":30000,\"disconnects\":1");
    sim_stats_destroy(stats);
}

static void test_the_oldest_records_are_dropped(void **state)
{
    struct sim_stats *stats = sim_stats_create(2);
    int64_t first = begin(stats, "one"), second = begin(stats, "two"), third = begin(stats, "three");

    (void)state;
    assert_null(sim_stats_record(stats, first));
    assert_string_equal(sim_stats_record(stats, second)->prompt, "two");
    assert_string_equal(sim_stats_record(stats, third)->prompt, "three");
    sim_stats_image(stats, first, true);
    sim_stats_end(stats, first, 1);
    assert_contains(sim_stats_write, stats, "\"calls\":3,");
    assert_contains(sim_stats_write, stats, "\"calls_open\":2,\"calls_max_open\":3,\"images_billed\":1,");
    assert_contains(sim_stats_write_calls, stats, "[{\"number\":2,");
    sim_stats_destroy(stats);
}

static void test_calls_begun_before_a_reset_are_not_counted(void **state)
{
    struct sim_stats *stats = sim_stats_create(4);
    int64_t before = begin(stats, "before");

    (void)state;
    sim_stats_reset(stats);
    sim_stats_image(stats, before, true);
    sim_stats_status(stats, before, 200);
    sim_stats_charge(stats, before, 30000);
    sim_stats_delivered(stats, before, 1);
    sim_stats_outcome(stats, before, SIM_CUT);
    assert_contains(
        sim_stats_write, stats,
        "{\"calls\":0,\"calls_by_status\":{},\"calls_open\":1,\"calls_max_open\":1,"
        "\"images_billed\":0,\"images_delivered\":0,\"images_failed\":0,\"charged_micros\":0,\"disconnects\":0,"
        "\"cuts\":0");
    assert_contains(sim_stats_write_calls, stats, "[]");
    sim_stats_end(stats, before, 1);
    assert_int_equal(sim_stats_open(stats), 0);
    assert_int_not_equal(begin(stats, "after"), before);
    assert_contains(sim_stats_write_calls, stats, "\"prompt\":\"after\"");
    sim_stats_destroy(stats);
}

static void test_the_window_counts_the_last_sixty_seconds(void **state)
{
    const int64_t start_ms = 1757388756000;
    struct sim_window window = {0};

    (void)state;
    assert_int_equal(sim_window_count(&window, start_ms), 0);
    sim_window_add(&window, start_ms);
    sim_window_add(&window, start_ms + 999);
    sim_window_add(&window, start_ms + 30000);
    assert_int_equal(sim_window_count(&window, start_ms + 30000), 3);
    assert_int_equal(sim_window_count(&window, start_ms + 59999), 3);
    assert_int_equal(sim_window_count(&window, start_ms + 60000), 1);
    sim_window_add(&window, start_ms + 60000);
    assert_int_equal(sim_window_count(&window, start_ms + 60000), 2);
    assert_int_equal(sim_window_count(&window, start_ms + 120000), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_is_recorded_and_counted),
        cmocka_unit_test(test_the_oldest_records_are_dropped),
        cmocka_unit_test(test_calls_begun_before_a_reset_are_not_counted),
        cmocka_unit_test(test_the_window_counts_the_last_sixty_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
