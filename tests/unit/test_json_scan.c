/* The values of a JSON text, found and read without parsing the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json_scan.h"
#include "common/base/macros.h"

/* clang-format off */
static const struct { const char *name, *text, *member, *want; } cases[] = {
    { "a text",                        "{\"a\":\"x\"}",                        "a",  "\"x\"" },
    { "the last of several",           "{\"a\":1,\"b\":[1,2],\"c\":true}",     "c",  "true" },
    { "white space",                   " { \"a\" : -1.5e3 , \"b\" : null } ",  "a",  "-1.5e3" },
    { "an object with the same name",  "{\"b\":{\"a\":1},\"a\":2}",            "a",  "2" },
    { "an array with objects",         "{\"b\":[{\"a\":1},[]],\"a\":[{}]}",    "a",  "[{}]" },
    { "a name in a text",              "{\"b\":\"\\\"a\\\":1\",\"a\":2}",      "a",  "2" },
    { "backslashes before a quote",    "{\"b\":\"\\\\\",\"a\":\"\\\\\\\"\"}",  "a",  "\"\\\\\\\"\"" },
    { "brackets in a text",            "{\"b\":{\"c\":\"}]\"},\"a\":0}",       "a",  "0" },
    { "the first of two",              "{\"a\":1,\"a\":2}",                    "a",  "1" },
    { "an empty name",                 "{\"\":1}",                             "",   "1" },
    { "the beginning of a name",       "{\"ab\":1}",                           "a",  NULL },
    { "an empty object",               "{}",                                   "a",  NULL },
    { "an array",                      "[\"a\",1]",                            "a",  NULL },
    { "nothing",                       "",                                     "a",  NULL },
    { "no colon",                      "{\"a\" 1}",                            "a",  NULL },
    { "no value",                      "{\"a\":,\"b\":1}",                     "a",  NULL },
    { "a text without its end",        "{\"a\":\"x",                           "a",  NULL },
    { "an array without its end",      "{\"a\":[1,{}",                         "a",  NULL },
    { "only a quote",                  "{\"",                                  "a",  NULL },
};
/* clang-format on */

static void test_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t len = strlen(cases[i].text);
        char *exact = malloc(len ? len : 1); /* so that a sanitizer sees each byte beyond it */
        struct json_span value;

        assert_non_null(exact);
        memcpy(exact, cases[i].text, len);
        value = json_member((struct json_span){exact, len}, cases[i].member);
        if (!json_span_is(value, cases[i].want ? cases[i].want : ""))
            fail_msg("%s: %.*s", cases[i].name, (int)value.len, value.at);
        free(exact);
    }
}

static void test_elements(void **state)
{
    static const char text[] = " [ 1 , \"a,b\", {\"c\": [2]},[] ] ", *const want[] = {"1", "\"a,b\"", "{\"c\": [2]}",
                                                                                      "[]"};
    struct json_span name, value;
    struct json_cursor cursor;
    size_t count = 0;

    (void)state;
    json_enter((struct json_span){text, sizeof(text) - 1}, &cursor);
    for (; json_next(&cursor, &name, &value); count++) {
        assert_true(count < ARRAY_LENGTH(want) && name.len == 0);
        assert_true(json_span_is(value, want[count]));
    }
    assert_int_equal(count, ARRAY_LENGTH(want));
}

static void test_reading(void **state)
{
    static const struct {
        const char *text, *want; /* NULL: it cannot be read */
    } texts[] = {
        {"\"\xe5\x9b\xbe\"", "\"\xe5\x9b\xbe\""},
        {"\"a\\n\\u0041\"",  "\"a\\nA\""       },
        {"\"\"",             "\"\""            },
        {"-7",               "-7"              },
        {"{\"a\":[true]}",   "{\"a\":[true]}"  },
        {"\"\xff\"",         NULL              },
        {"nul",              NULL              },
        {"\"",               NULL              },
        {"",                 NULL              },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        json_t *value = json_span_read((struct json_span){texts[i].text, strlen(texts[i].text)});
        char *again = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

        if (!again != !texts[i].want || (again && strcmp(again, texts[i].want) != 0))
            fail_msg("%s: %s", texts[i].text, again);
        free(again);
        json_decref(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
