#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/task/task.h"

static void test_state_names_can_be_parsed(void **state)
{
    static const struct {
        enum task_state state;
        const char *name;
        bool final;
    } states[] = {
        {TASK_QUEUED,    "queued",    false},
        {TASK_RUNNING,   "running",   false},
        {TASK_DELAYED,   "delayed",   false},
        {TASK_DONE,      "done",      true },
        {TASK_FAILED,    "failed",    true },
        {TASK_CANCELLED, "cancelled", true },
    };

    (void)state;
    assert_int_equal(ARRAY_LENGTH(states), TASK_STATE_COUNT);
    for (size_t i = 0; i < TASK_STATE_COUNT; i++) {
        enum task_state parsed = TASK_STATE_COUNT;

        assert_string_equal(task_state_name(states[i].state), states[i].name);
        assert_true(task_state_parse(states[i].name, strlen(states[i].name), &parsed));
        assert_int_equal(parsed, states[i].state);
        assert_int_equal(task_state_is_final(states[i].state), states[i].final);
    }
}

static void test_unknown_state_names_are_refused(void **state)
{
    static const char *const words[] = {"", "Queued", "queue", "queuedd", "done ", " done"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        enum task_state parsed = TASK_STATE_COUNT;

        assert_false(task_state_parse(words[i], strlen(words[i]), &parsed));
        assert_int_equal(parsed, TASK_STATE_COUNT);
    }
}

#define BYTES(text) text, sizeof(text) - 1
#define X32         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
/* clang-format off */
static const struct { const char *name, *id; size_t len; bool valid; } ids[] = {
    { "one letter",                         BYTES("a"),                      true },
    { "one digit",                          BYTES("0"),                      true },
    { "every kind of byte",                 BYTES("Az09._:-"),               true },
    { "the longest id",                     BYTES(X32 X32 X32 X32),          true },
    { "one byte too long",                  BYTES(X32 X32 X32 X32 "x"),      false },
    { "empty",                              BYTES(""),                       false },
    { "a dot first",                        BYTES(".a"),                     false },
    { "a dash first",                       BYTES("-a"),                     false },
    { "an underscore first",                BYTES("_a"),                     false },
    { "a space",                            BYTES("a b"),                    false },
    { "a slash",                            BYTES("a/b"),                    false },
    { "a quote",                            BYTES("a\"b"),                   false },
    { "a line end after it",                BYTES("a\n"),                    false },
    { "a NUL byte in it",                   BYTES("a\0b"),                   false },
    { "a brace, which would be a hash tag", BYTES("a{b}"),                   false },
    { "a letter beyond ASCII",              BYTES("\xc3\xa9"),               false },
    { "a glob",                             BYTES("a*"),                     false },
    { "percent",                            BYTES("a%20"),                   false },
};
/* clang-format on */

static void test_task_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
        print_message("  %s\n", ids[i].name);
        assert_int_equal(task_id_is_valid(ids[i].id, ids[i].len), ids[i].valid);
    }
}

static void test_full_ids_can_be_split(void **state)
{
    char full[TASK_FULL_ID_SIZE];

    (void)state;
    task_full_id(full, TASK_CLIENT_PUBLIC, "a.b.c");
    assert_string_equal(full, "public.a.b.c");
    assert_string_equal(task_id_of(full), "a.b.c");
    task_full_id(full, X32, X32 X32 X32 X32);
    assert_string_equal(full, X32 "." X32 X32 X32 X32);
    assert_string_equal(task_id_of(full), X32 X32 X32 X32);
    assert_string_equal(task_id_of("no dot"), "no dot");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_names_can_be_parsed),
        cmocka_unit_test(test_unknown_state_names_are_refused),
        cmocka_unit_test(test_task_ids),
        cmocka_unit_test(test_full_ids_can_be_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
