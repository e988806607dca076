#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/base/utf8.h"

/* clang-format off */
static const struct { const char *name, *text; size_t first, count; } cases[] = {
    { "a letter is one byte",                       "a",                    1, 1 },
    { "two bytes: e acute",                         "\xc3\xa9",             2, 1 },
    { "three bytes: a Han character",               "\xe5\x9b\xbe",         3, 1 },
    { "four bytes: an emoji",                       "\xf0\x9f\x98\x80",     4, 1 },
    { "the last code point",                        "\xf4\x8f\xbf\xbf",     4, 1 },
    { "one above the last code point",              "\xf4\x90\x80\x80",     0, 4 },
    { "a lone continuation byte",                   "\x80",                 0, 1 },
    { "a truncated character",                      "\xe5\x9b",             0, 2 },
    { "a character interrupted by another",         "\xe5" "a",             0, 2 },
    { "an overlong slash in two bytes",             "\xc0\xaf",             0, 2 },
    { "an overlong slash in three bytes",           "\xe0\x80\xaf",         0, 3 },
    { "an overlong slash in four bytes",            "\xf0\x80\x80\xaf",     0, 4 },
    { "half of a surrogate pair",                   "\xed\xa0\x80",         0, 3 },
    { "the character before the surrogates",        "\xed\x9f\xbf",         3, 1 },
    { "a lead byte of the old five-byte form",      "\xf8\x88\x80\x80\x80", 0, 5 },
    { "0xff never occurs",                          "\xff",                 0, 1 },
    { "mixed text is counted by characters",        "a\xe5\x9b\xbe" "b",    1, 3 },
};
/* clang-format on */

static void test_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t len = strlen(cases[i].text);

        print_message("  %s\n", cases[i].name);
        assert_int_equal(utf8_char_len(cases[i].text, len), cases[i].first);
        assert_int_equal(utf8_count(cases[i].text, len), cases[i].count);
    }
}

static void test_a_nul_byte_is_a_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_char_len("", 1), 1);
    assert_int_equal(utf8_count("a\0b", 3), 3);
    assert_int_equal(utf8_count("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_a_nul_byte_is_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
