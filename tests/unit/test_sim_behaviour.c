#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "simulator/behaviour.h"
#include "simulator/scenario.h"

static struct sim_behaviour from_prompt(const char *prompt)
{
    struct sim_behaviour behaviour;
    char why[SIM_WHY_SIZE];

    sim_behaviour_init(&behaviour);
    assert_int_equal(sim_behaviour_read_prompt(&behaviour, prompt, why), 0);
    return behaviour;
}

static void test_a_prompt_without_directives_has_the_default_behaviour(void **state)
{
    struct sim_behaviour plain, read = from_prompt("a red bicycle [[simple]] [sim: hang]");

    (void)state;
    sim_behaviour_init(&plain);
    assert_memory_equal(&plain, &read, sizeof(plain));
    assert_int_equal(plain.status, SIM_UNSET);
    assert_int_equal(plain.latency, SIM_UNSET);
}

static void test_numbers_texts_flags_and_choices_are_read(void **state)
{
    struct sim_behaviour read = from_prompt(
        "x [[sim: status=429 code=ServerOverloaded retry_after=2, message=\"two words\" crlf gzip=1 rst=0]] y "
        "[[sim:error_frame=bare body=html latency=0 hang]]");

    (void)state;
    assert_int_equal(read.status, 429);
    assert_int_equal(read.retry_after, 2);
    assert_string_equal(read.code, "ServerOverloaded");
    assert_string_equal(read.message, "two words");
    assert_true(read.crlf && read.gzip && !read.rst);
    assert_int_equal(read.error_frame, SIM_FRAME_BARE);
    assert_int_equal(read.body, SIM_BODY_HTML);
    assert_int_equal(read.latency, 0);
    assert_int_equal(read.hang, SIM_FOREVER);
}

static void test_failures_are_stored_by_index(void **state)
{
    struct sim_behaviour read =
        from_prompt("[[sim: fail=1:OutputImageSensitiveContentDetected fail=14:InternalServiceError]]");

    (void)state;
    assert_string_equal(read.fail[0], "");
    assert_string_equal(read.fail[1], "OutputImageSensitiveContentDetected");
    assert_string_equal(read.fail[14], "InternalServiceError");
}

static void test_shorthands_set_their_fields(void **state)
{
    struct sim_behaviour html = from_prompt("[[sim: html_502]]"), empty = from_prompt("[[sim: empty_404]]");

    (void)state;
    assert_int_equal(html.status, 502);
    assert_int_equal(html.body, SIM_BODY_HTML);
    assert_int_equal(empty.status, 404);
    assert_int_equal(empty.body, SIM_BODY_EMPTY);
    assert_int_equal(from_prompt("[[sim: unwrapped_error]]").body, SIM_BODY_UNWRAPPED);
    assert_int_equal(from_prompt("[[sim: body_garbage]]").body, SIM_BODY_GARBAGE);
}

static const struct {
    const char *name, *prompt;
} mistakes[] = {
    {"an unknown name",                             "[[sim: colour=red]]"                                                           },
    {"a status that is no error",                   "[[sim: status=200]]"                                                           },
    {"a number with letters",                       "[[sim: latency=5s]]"                                                           },
    {"a number beyond its range",                   "[[sim: images=101]]"                                                           },
    {"a number too long for any integer",           "[[sim: latency=99999999999999999999]]"                                         },
    {"a flag with a value",                         "[[sim: rst=yes]]"                                                              },
    {"a choice that does not exist",                "[[sim: error_frame=loud]]"                                                     },
    {"an incomplete choice",                        "[[sim: error_frame=even]]"                                                     },
    {"a choice without a value",                    "[[sim: body]]"                                                                 },
    {"a text without a value",                      "[[sim: code]]"                                                                 },
    {"a text that is too long",                     "[[sim: code=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]]"},
    {"a failure without a code",                    "[[sim: fail=1]]"                                                               },
    {"a failure with an empty code",                "[[sim: fail=1:]]"                                                              },
    {"a failure beyond the last picture",           "[[sim: fail=100:InternalServiceError]]"                                        },
    {"a shorthand with a value in place of a name", "[[sim: =html_502]]"                                                            },
    {"an open quote",                               "[[sim: message=\"open]]"                                                       },
    {"no end",                                      "[[sim: rst"                                                                    },
    {"an incomplete end",                           "[[sim: rst ]"                                                                  },
    {"a name that is too long",                     "[[sim: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]]"          },
};

static void test_invalid_directives_are_refused_with_the_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(mistakes); i++) {
        struct sim_behaviour behaviour;
        char why[SIM_WHY_SIZE] = "";

        sim_behaviour_init(&behaviour);
        if (sim_behaviour_read_prompt(&behaviour, mistakes[i].prompt, why) != ERR_SYNTAX || !*why)
            fail_msg("%s is accepted", mistakes[i].name);
    }
}

static void test_a_raw_answer_is_shared_between_step_and_call(void **state)
{
    static const char json[] = "[{\"raw\":\"{}\",\"headers\":[\"A: b\"],\"type\":\"text/plain\",\"stays_open\":true}]";
    struct sim_scenario scenario = {0};
    struct sim_behaviour step;
    char why[SIM_WHY_SIZE];

    (void)state;
    assert_int_equal(sim_scenario_load(&scenario, json, strlen(json), why), 0);
    sim_scenario_next(&scenario, &step);
    sim_scenario_deinit(&scenario);
    assert_string_equal(json_string_value(step.raw), "{}");
    assert_string_equal(json_string_value(json_array_get(step.headers, 0)), "A: b");
    assert_string_equal(step.type, "text/plain");
    assert_true(step.stays_open);
    sim_behaviour_deinit(&step);
    assert_int_equal(sim_scenario_load(&scenario, "[{\"raw\":7}]", 11, why), ERR_SYNTAX);
    assert_int_equal(sim_scenario_load(&scenario, "[{\"raw\":\"a\"},{\"headers\":\"b\"}]", 30, why), ERR_SYNTAX);
}

static void test_the_steps_of_a_scenario_are_used_in_order(void **state)
{
    static const char json[] =
        "[{\"status\":429,\"retry_after\":1},{\"fail\":[\"0:A\",\"2:B\"],\"no_done\":true,\"rst\":false},"
        "{\"message\":\"m\",\"html_502\":true},{}]";
    struct sim_scenario scenario = {0};
    struct sim_behaviour step, plain;
    char why[SIM_WHY_SIZE];

    (void)state;
    sim_behaviour_init(&plain);
    assert_int_equal(sim_scenario_load(&scenario, json, strlen(json), why), 0);
    assert_int_equal(sim_scenario_left(&scenario), 4);
    sim_scenario_next(&scenario, &step);
    assert_int_equal(step.status, 429);
    assert_int_equal(step.retry_after, 1);
    sim_scenario_next(&scenario, &step);
    assert_int_equal(step.status, SIM_UNSET);
    assert_string_equal(step.fail[0], "A");
    assert_string_equal(step.fail[2], "B");
    assert_true(step.no_done && !step.rst);
    sim_scenario_next(&scenario, &step);
    assert_int_equal(step.status, 502);
    sim_scenario_next(&scenario, &step);
    assert_memory_equal(&step, &plain, sizeof(step));
    assert_int_equal(sim_scenario_left(&scenario), 0);
    sim_scenario_next(&scenario, &step);
    assert_memory_equal(&step, &plain, sizeof(step));
    sim_scenario_deinit(&scenario);
}

static void test_an_invalid_scenario_does_not_replace_the_loaded_one(void **state)
{
    static const char good[] = "[{\"status\":500}]";
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "[{\"status\":500},{\"nonsense\":1}]",
        "[{\"latency\":1.5}]",
        "[{\"latency\":{}}]",
        "[{\"rst\":1,\"rst\":1}]",
        "[{}]]",
    };
    struct sim_scenario scenario = {0};
    char why[SIM_WHY_SIZE];

    (void)state;
    assert_int_equal(sim_scenario_load(&scenario, good, strlen(good), why), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (sim_scenario_load(&scenario, bad[i], strlen(bad[i]), why) != ERR_SYNTAX)
            fail_msg("%s is accepted", bad[i]);
    assert_int_equal(sim_scenario_left(&scenario), 1);
    sim_scenario_deinit(&scenario);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_prompt_without_directives_has_the_default_behaviour),
        cmocka_unit_test(test_numbers_texts_flags_and_choices_are_read),
        cmocka_unit_test(test_failures_are_stored_by_index),
        cmocka_unit_test(test_shorthands_set_their_fields),
        cmocka_unit_test(test_invalid_directives_are_refused_with_the_reason),
        cmocka_unit_test(test_a_raw_answer_is_shared_between_step_and_call),
        cmocka_unit_test(test_the_steps_of_a_scenario_are_used_in_order),
        cmocka_unit_test(test_an_invalid_scenario_does_not_replace_the_loaded_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
