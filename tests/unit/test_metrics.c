#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/ops/metrics.h"
#include "common/ops/shared_metrics.h"
#include "worker/ark/verdict.h"
#include "worker/metrics/metrics.h"

enum row { COUNTER, GAUGE, SECONDS, BY_FRUIT, BY_BOTH, SELDOM, HISTOGRAM, ROWS };

static const char *const fruits[] = {"apple", "a \"pear\"\\\n"};
static const char *const sizes[] = {"s", "m", "l"};
static const int64_t bounds[] = {1000, 500000, 2000000};

/* clang-format off */
static const struct metric rows[ROWS] = {
    [COUNTER] = {.name = "t_plain", .type = METRIC_COUNTER, .help = "All of \\ it,\nand \"more\"."},
    [GAUGE] = {.name = "t_gauge", .type = METRIC_GAUGE, .help = "g"},
    [SECONDS] = {.name = "t_seconds", .type = METRIC_GAUGE, .micro = true, .help = "s"},
    [BY_FRUIT] = {.name = "t_fruit", .type = METRIC_COUNTER, .labels = {{"fruit", fruits, 2}}, .help = "f"},
    [BY_BOTH] = {.name = "t_both", .type = METRIC_COUNTER, .sparse = true, .labels = {{"fruit", fruits, 2}, {"size", sizes, 3}}, .help = "b"},
    [SELDOM] = {.name = "t_seldom", .type = METRIC_GAUGE, .sparse = true, .help = "d"},
    [HISTOGRAM] = {.name = "t_took_seconds", .type = METRIC_HISTOGRAM, .bounds = bounds, .bound_count = 3, .help = "h"},
};
/* clang-format on */

static const struct metric_table table = {rows, ROWS};

struct world {
    struct metrics *one, *other;
    struct buf out;
};

static int set_up(void **state)
{
    static struct world world;

    world.one = metrics_create(&table);
    world.other = metrics_create(&table);
    buf_init(&world.out, 64 * 1024);
    *state = &world;
    return world.one && world.other ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    metrics_destroy(world->one);
    metrics_destroy(world->other);
    buf_deinit(&world->out);
    return 0;
}

static const char *exposition(struct world *world)
{
    buf_clear(&world->out);
    metrics_write(&world->out, (const struct metrics *const[]){world->one, world->other}, 2);
    assert_int_equal(buf_error(&world->out), 0);
    return buf_text(&world->out);
}

static void assert_has(struct world *world, const char *line)
{
    if (!strstr(exposition(world), line))
        fail_msg("missing: %s in\n%s", line, exposition(world));
}

static void assert_has_not(struct world *world, const char *text)
{
    if (strstr(exposition(world), text))
        fail_msg("unexpected: %s in\n%s", text, exposition(world));
}

static void writes_the_exposition_format(void **state)
{
    struct world *world = *state;

    metrics_observe(world->one, HISTOGRAM, 1500, 1);
    assert_string_equal(exposition(world), "# HELP t_plain_total All of \\\\ it,\\nand \"more\".\n"
                                           "# TYPE t_plain_total counter\n"
                                           "t_plain_total 0\n"
                                           "# HELP t_gauge g\n"
                                           "# TYPE t_gauge gauge\n"
                                           "t_gauge 0\n"
                                           "# HELP t_seconds s\n"
                                           "# TYPE t_seconds gauge\n"
                                           "t_seconds 0\n"
                                           "# HELP t_fruit_total f\n"
                                           "# TYPE t_fruit_total counter\n"
                                           "t_fruit_total{fruit=\"apple\"} 0\n"
                                           "t_fruit_total{fruit=\"a \\\"pear\\\"\\\\\\n\"} 0\n"
                                           "# HELP t_took_seconds h\n"
                                           "# TYPE t_took_seconds histogram\n"
                                           "t_took_seconds_bucket{le=\"0.001\"} 0\n"
                                           "t_took_seconds_bucket{le=\"0.5\"} 1\n"
                                           "t_took_seconds_bucket{le=\"2\"} 1\n"
                                           "t_took_seconds_bucket{le=\"+Inf\"} 1\n"
                                           "t_took_seconds_sum 0.0015\n"
                                           "t_took_seconds_count 1\n");
}

static void values_of_all_threads_add_up(void **state)
{
    struct world *world = *state;

    metrics_add(world->one, SAMPLE(COUNTER), 3);
    metrics_add(world->other, SAMPLE(COUNTER), 4);
    metrics_set(world->one, SAMPLE(GAUGE), 10);
    metrics_add(world->other, SAMPLE(GAUGE), -3);
    assert_has(world, "\nt_plain_total 7\n");
    assert_has(world, "\nt_gauge 7\n");
    assert_int_equal(metrics_sum((const struct metrics *const[]){world->one, world->other}, 2, SAMPLE(GAUGE)), 7);
}

static void a_sample_is_found_by_its_labels(void **state)
{
    struct world *world = *state;

    metrics_add(world->one, SAMPLE(BY_FRUIT, 1), 5);
    metrics_add(world->one, SAMPLE(BY_BOTH, 0, 2), 1);
    metrics_add(world->other, SAMPLE(BY_BOTH, 1, 0), 2);
    assert_has(world, "t_fruit_total{fruit=\"apple\"} 0\nt_fruit_total{fruit=\"a \\\"pear\\\"\\\\\\n\"} 5\n");
    assert_has(world, "# TYPE t_both_total counter\nt_both_total{fruit=\"apple\",size=\"l\"} 1\n"
                      "t_both_total{fruit=\"a \\\"pear\\\"\\\\\\n\",size=\"s\"} 2\n# HELP");
}

static void a_sparse_metric_is_written_once_it_is_set(void **state)
{
    struct world *world = *state;

    assert_has_not(world, "t_seldom");
    assert_has_not(world, "t_both");
    metrics_set(world->other, SAMPLE(SELDOM), 0);
    assert_has(world, "# TYPE t_seldom gauge\nt_seldom 0\n");
}

static void values_in_millionths_are_written_as_decimals(void **state)
{
    static const struct {
        int64_t micro;
        const char *line;
    } cases[] = {
        {0,                "\nt_seconds 0\n"                   },
        {1,                "\nt_seconds 0.000001\n"            },
        {-1500000,         "\nt_seconds -1.5\n"                },
        {100000,           "\nt_seconds 0.1\n"                 },
        {20000000,         "\nt_seconds 20\n"                  },
        {1795363140680000, "\nt_seconds 1795363140.68\n"       },
        {INT64_MAX,        "\nt_seconds 9223372036854.775807\n"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        metrics_set(world->one, SAMPLE(SECONDS), cases[i].micro);
        assert_has(world, cases[i].line);
    }
}

static void an_observation_is_counted_in_its_bucket(void **state)
{
    static const struct {
        int64_t micro;
        const char *lines;
    } cases[] = {
        {0,       "le=\"0.001\"} 1\nt_took_seconds_bucket{le=\"0.5\"} 1\n"},
        {1000,    "le=\"0.001\"} 1\nt_took_seconds_bucket{le=\"0.5\"} 1\n"},
        {1001,    "le=\"0.001\"} 0\nt_took_seconds_bucket{le=\"0.5\"} 1\n"},
        {2000000, "le=\"2\"} 1\nt_took_seconds_bucket{le=\"+Inf\"} 1\n"   },
        {2000001, "le=\"2\"} 0\nt_took_seconds_bucket{le=\"+Inf\"} 1\n"   },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(set_up(state), 0);
        metrics_observe(((struct world *)*state)->one, HISTOGRAM, cases[i].micro, 1);
        assert_has(*state, cases[i].lines);
        tear_down(state);
    }
}

static void one_call_can_add_many_observations(void **state)
{
    struct world *world = *state;
    const struct metrics *all[] = {world->one, world->other};

    metrics_observe(world->one, HISTOGRAM, 400000, 5);
    metrics_observe(world->other, HISTOGRAM, 3000000, 2);
    assert_has(world, "t_took_seconds_sum 8\nt_took_seconds_count 7\n");
    assert_int_equal(metrics_cumulative(all, 2, HISTOGRAM, 0), 0);
    assert_int_equal(metrics_cumulative(all, 2, HISTOGRAM, 1), 5);
    assert_int_equal(metrics_cumulative(all, 2, HISTOGRAM, 3), 7);
}

static void counting_into_null_is_a_no_op(void **state)
{
    (void)state;
    metrics_add(NULL, SAMPLE(COUNTER), 1);
    metrics_set(NULL, SAMPLE(GAUGE), 1);
    metrics_observe(NULL, HISTOGRAM, 1, 1);
}

enum { ROUNDS = 200000 };

static void *count_rounds(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(arg, SAMPLE(COUNTER), 1);
        metrics_observe(arg, HISTOGRAM, 1, 1);
    }
    return NULL;
}

/* A concurrent reader sees counters that only grow, and a histogram whose count always equals its last bucket. */
static void a_concurrent_reader_sees_consistent_values(void **state)
{
    struct world *world = *state;
    const struct metrics *all[] = {world->one, world->other};
    int64_t seen = 0;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, count_rounds, world->one), 0);
    while (seen < ROUNDS) {
        int64_t now = metrics_sum(all, 2, SAMPLE(COUNTER));

        assert_true(now >= seen);
        seen = now;
        assert_non_null(strstr(exposition(world), "t_took_seconds_count "));
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(metrics_cumulative(all, 2, HISTOGRAM, 3), ROUNDS);
}

static void each_verdict_is_counted_as_its_outcome(void **state)
{
    static const struct {
        const char *name;
        struct verdict verdict;
        enum ark_outcome outcome;
    } cases[] = {
        {"an image came",            {.action = VERDICT_DONE, .charge = CHARGE_KNOWN},            ARK_DONE     },
        {"a rate limit",
         {.action = VERDICT_DEFER, .charge = CHARGE_VOID, .problem = PROBLEM_ARK_RATE_LIMITED},
         ARK_BUSY                                                                                              },
        {"cut off",                  {.action = VERDICT_RETRY, .charge = CHARGE_UNKNOWN},         ARK_UNKNOWN  },
        {"cancelled on the way",     {.action = VERDICT_CANCELLED, .charge = CHARGE_UNKNOWN},     ARK_UNKNOWN  },
        {"cancelled before it left", {.action = VERDICT_CANCELLED, .charge = CHARGE_VOID},        ARK_CANCELLED},
        {"never left",
         {.action = VERDICT_DEFER, .charge = CHARGE_VOID, .problem = PROBLEM_ARK_UNREACHABLE},
         ARK_UNREACHABLE                                                                                       },
        {"refused",
         {.action = VERDICT_FAIL, .charge = CHARGE_VOID, .problem = PROBLEM_ARK_CONTENT_REFUSED},
         ARK_REFUSED                                                                                           },
        {"charged and lost",         {.action = VERDICT_FAIL, .charge = CHARGE_KNOWN},            ARK_EMPTY    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct metrics *metrics = metrics_create(&worker_metric_table);
        const struct metrics *all[] = {metrics};

        print_message("  %s\n", cases[i].name);
        worker_metrics_call(metrics, &cases[i].verdict, 12000);
        assert_int_equal(ark_outcome(&cases[i].verdict), cases[i].outcome);
        assert_int_equal(metrics_sum(all, 1, SAMPLE(METRIC_ARK_CALLS, cases[i].outcome)), 1);
        assert_int_equal(metrics_sum(all, 1, SAMPLE(METRIC_UNKNOWN_OUTCOMES)), cases[i].outcome == ARK_UNKNOWN);
        metrics_destroy(metrics);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_the_exposition_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_all_threads_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sample_is_found_by_its_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sparse_metric_is_written_once_it_is_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_in_millionths_are_written_as_decimals, set_up, tear_down),
        cmocka_unit_test(an_observation_is_counted_in_its_bucket),
        cmocka_unit_test_setup_teardown(one_call_can_add_many_observations, set_up, tear_down),
        cmocka_unit_test(counting_into_null_is_a_no_op),
        cmocka_unit_test_setup_teardown(a_concurrent_reader_sees_consistent_values, set_up, tear_down),
        cmocka_unit_test(each_verdict_is_counted_as_its_outcome),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
