/* Sizes of OpenAI's clients on ARK's models, and names of models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/api/openai/aliases.h"
#include "gateway/api/openai/size.h"

static const struct openai_size_limits four = {921600, 16777216, 16}, lite = {3686400, 16777216, 16},
                                       pro = {921600, 4624220, 16}, unknown = {0, 0, 16};

/* clang-format off */
static const struct { const char *name; const struct openai_size_limits *limits; const char *wanted, *got; } rows[] = {
    { "OpenAI's square is legal on 4.0",       &four,    "1024x1024", "1024x1024" },
    { "its portrait too",                      &four,    "1024x1536", "1024x1536" },
    { "the square of dall-e-2",                &four,    "256x256",   "968x968" },
    { "half of it",                            &four,    "512x512",   "968x968" },
    { "the square grows above the minimum",    &lite,    "1024x1024", "1928x1928" },
    { "landscape keeps 3:2",                   &lite,    "1536x1024", "2352x1568" },
    { "portrait keeps 2:3",                    &lite,    "1024x1536", "1568x2352" },
    { "the wide one of dall-e-3 keeps 7:4",    &lite,    "1792x1024", "2576x1472" },
    { "exactly the minimum is legal",          &lite,    "2560x1440", "2560x1440" },
    { "just below the minimum",                &lite,    "2560x1439", "2561x1440" },
    { "4K shrinks to ARK's own 16:9",          &pro,     "3840x2160", "2816x1584" },
    { "a large square shrinks",                &pro,     "4096x4096", "2144x2144" },
    { "proportions without a common divisor",  &lite,    "1023x1024", "1920x1921" },
    { "a coarse multiple is not near",         &lite,    "1300x1301", "1920x1921" },
    { "1:16",                                  &lite,    "100x1600",  "488x7808" },
    { "16:1",                                  &pro,     "12000x750", "8576x536" },
    { "beyond 1:16",                           &lite,    "100x1601",  NULL },
    { "beyond 16:1 although the area is legal", &four,   "9000x500",  NULL },
    { "no limits are known",                   &unknown, "1x99999",   "1x99999" },
};

static const struct { const char *name, *text; bool valid; } texts[] = {
    { "a square",        "1024x1024",   true },
    { "the largest",     "99999x99999", true },
    { "six digits",      "100000x1",    false },
    { "a leading zero",  "01x1",        false },
    { "zero",            "0x1",         false },
    { "a capital X",     "1X1",         false },
    { "a sign",          "+1x1",        false },
    { "spaces",          "1 x1",        false },
    { "one side",        "1x",          false },
    { "no side",         "x1",          false },
    { "three sides",     "1x1x1",       false },
    { "a keyword",       "2K",          false },
    { "nothing",         "",            false },
};

static const struct { const char *name, *list; size_t count; const char *at; } lists[] = {
    { "the default",              OPENAI_DEFAULT_ALIASES,  14, NULL },
    { "none",                     "",                       0, NULL },
    { "spaces and empty items",   " , a = b ,, c ,",        2, NULL },
    { "a name twice",             "a,b=c,a=d",              0, "a=d" },
    { "no name",                  "a,=b",                   0, "=b" },
    { "no model",                 "a=",                     0, "a=" },
    { "a space in a name",        "a b",                    0, "a b" },
    { "two models",               "a=b=c",                  0, "a=b=c" },
};
/* clang-format on */

static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        char text[OPENAI_SIZE_SIZE] = "";
        struct openai_size size;

        assert_true(openai_size_parse(rows[i].wanted, &size));
        if (openai_size_fit(size, rows[i].limits, &size))
            openai_size_write(text, size);
        if (strcmp(text, rows[i].got ? rows[i].got : "") != 0)
            fail_msg("%s: %s becomes \"%s\"", rows[i].name, rows[i].wanted, text);
    }
}

static void expect_fit(struct openai_size wanted, const struct openai_size_limits *limits)
{
    struct openai_size got;
    int64_t pixels;

    if (!openai_size_fit(wanted, limits, &got))
        fail_msg("%dx%d has no size", (int)wanted.width, (int)wanted.height);
    pixels = got.width * got.height;
    assert_true(pixels >= limits->pixels_min && pixels <= limits->pixels_max);
    assert_true(got.width <= 16 * got.height && got.height <= 16 * got.width);
    /* The proportions are those that were asked for, up to a pixel of the shorter side. */
    assert_true(llabs(got.width * wanted.height - got.height * wanted.width) <= wanted.width + wanted.height);
}

static void test_every_size_fits(void **state)
{
    static const struct openai_size_limits *const models[] = {&four, &lite, &pro};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(models); i++)
        for (int64_t width = 64; width <= 9000; width = width * 9 / 8 + 1)
            for (int64_t height = width / 16 + 1; height <= width * 16 && height <= 9000; height = height * 9 / 8 + 1)
                expect_fit((struct openai_size){width, height}, models[i]);
}

static void test_texts(void **state)
{
    struct openai_size size;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        if (openai_size_parse(texts[i].text, &size) != texts[i].valid)
            fail_msg("%s: %s", texts[i].name, texts[i].text);
}

static void test_lists_of_aliases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++) {
        struct openai_aliases aliases;
        const char *at = NULL;

        if (openai_aliases_parse(lists[i].list, &aliases, &at) == !!lists[i].at)
            fail_msg("%s", lists[i].name);
        if (lists[i].at)
            assert_string_equal(at, lists[i].at);
        else
            assert_int_equal(aliases.count, lists[i].count);
    }
}

static void test_aliases(void **state)
{
    struct openai_aliases aliases;
    const char *at;

    (void)state;
    assert_true(openai_aliases_parse("gpt-image-1,dall-e-3=doubao-x,chatgpt-image-latest", &aliases, &at));
    assert_string_equal(openai_aliases_find(&aliases, "gpt-image-1")->model, "");
    assert_string_equal(openai_aliases_find(&aliases, "dall-e-3")->model, "doubao-x");
    assert_null(openai_aliases_find(&aliases, "gpt-image"));
    assert_true(openai_alias_is_gpt_image(openai_aliases_find(&aliases, "gpt-image-1")));
    assert_true(openai_alias_is_gpt_image(openai_aliases_find(&aliases, "chatgpt-image-latest")));
    assert_false(openai_alias_is_gpt_image(openai_aliases_find(&aliases, "dall-e-3")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),   cmocka_unit_test(test_every_size_fits),
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_lists_of_aliases),
        cmocka_unit_test(test_aliases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
