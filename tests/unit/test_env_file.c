/* The grammar of .env files: valid files, invalid lines, errors of the callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/config/env_file.h"

static int on_assignment(const char *name, const char *value, void *arg)
{
    buf_addf(arg, "%s=[%s]", name, value);
    return strcmp(name, "STOP") ? 0 : ERR_NO_MEMORY;
}

/* The copy has exactly the size that the contract requires, for the sanitizers. */
static int parse(const char *text, size_t len, struct buf *story, size_t *line)
{
    char *copy = malloc(len + 1);
    int err;

    memcpy(copy, text, len);
    copy[len] = '\0';
    err = env_file_parse(copy, len, on_assignment, story, line);
    free(copy);
    return err;
}

#define BYTES(text) text, sizeof(text) - 1
/* clang-format off */
static const struct { const char *name, *text; size_t len; const char *want; } good[] = {
    { "nothing",                                     BYTES(""),                              "" },
    { "an assignment",                               BYTES("A=1\n"),                         "A=[1]" },
    { "no line end after the last line",             BYTES("A=1\nB=2"),                      "A=[1]B=[2]" },
    { "CRLF",                                        BYTES("A=1\r\nB=2\r\n\r\n"),            "A=[1]B=[2]" },
    { "blank lines",                                 BYTES("\n  \n\t\nA=1\n\n"),             "A=[1]" },
    { "comments",                                    BYTES("# A=0\n  # B\nA=1\n#"),          "A=[1]" },
    { "a BOM",                                       BYTES("\xef\xbb\xbf" "A=1\n"),          "A=[1]" },
    { "a BOM alone",                                 BYTES("\xef\xbb\xbf"),                  "" },
    { "export",                                      BYTES("export A=1\nexport\tB=2\n"),     "A=[1]B=[2]" },
    { "a variable named export",                     BYTES("export=1\n"),                    "export=[1]" },
    { "a name that begins with export",              BYTES("exports=1\n"),                   "exports=[1]" },
    { "blanks around everything",                    BYTES("  A  =  1  \n"),                 "A=[1]" },
    { "an empty value",                              BYTES("A=\nB= \nC=''\nD=\"\"\n"),       "A=[]B=[]C=[]D=[]" },
    { "spaces inside of a plain value",              BYTES("A=two words\n"),                 "A=[two words]" },
    { "trailing blanks are not part of the value",   BYTES("A=x \t\n"),                      "A=[x]" },
    { "a comment after a plain value",               BYTES("A=x # why\n"),                   "A=[x]" },
    { "a comment after a tab",                       BYTES("A=x\t# why\n"),                  "A=[x]" },
    { "a comment in place of a value",               BYTES("A= # nothing yet\n"),            "A=[]" },
    { "a hash inside of a word",                     BYTES("A=a#b\n"),                       "A=[a#b]" },
    { "a value that begins with a hash",             BYTES("A=#fff\n"),                      "A=[#fff]" },
    { "equals signs in the value",                   BYTES("A=b=c==\n"),                     "A=[b=c==]" },
    { "quotes inside of a plain value",              BYTES("A=it's \"so\"\n"),               "A=[it's \"so\"]" },
    { "a backslash in a plain value",                BYTES("A=a\\n\n"),                      "A=[a\\n]" },
    { "variables are not expanded",                  BYTES("A=$B ${C} `d`\n"),               "A=[$B ${C} `d`]" },
    { "single quotes have no escapes",               BYTES("A=' \\n # \"x\" '\n"),           "A=[ \\n # \"x\" ]" },
    { "a comment after single quotes",               BYTES("A='x' # why\n"),                 "A=[x]" },
    { "double quotes with escapes",                  BYTES("A=\" a\\nb \\\"c\\\" \\\\ # \"\n"), "A=[ a\nb \"c\" \\ # ]" },
    { "a comment after double quotes",               BYTES("A=\"x\"\t# why\n"),              "A=[x]" },
    { "CRLF after quotes",                           BYTES("A=\"x\"\r\nB='y'\r\n"),          "A=[x]B=[y]" },
    { "UTF-8",                                       BYTES("A=图像\nB=\"图像\"\n"),          "A=[图像]B=[图像]" },
    { "names that other programs use",               BYTES("_a.b-C9=1\n"),                   "_a.b-C9=[1]" },
    { "the same name twice",                         BYTES("A=1\nA=2\n"),                    "A=[1]A=[2]" },
};

static const struct { const char *name, *text; size_t len, line; const char *want; } bad[] = {
    { "a word",                                      BYTES("A\n"),                           1, "" },
    { "a bad line after good ones",                  BYTES("A=1\n# x\n\nB\nC=3\n"),          4, "A=[1]" },
    { "no name",                                     BYTES("=1\n"),                          1, "" },
    { "a name that begins with a digit",             BYTES("1A=1\n"),                        1, "" },
    { "a name of two words",                         BYTES("A B=1\n"),                       1, "" },
    { "a name with other letters",                   BYTES("\xc3\x84=1\n"),                  1, "" },
    { "export of nothing",                           BYTES("export A\n"),                    1, "" },
    { "single quotes that never end",                BYTES("A='x\nB=1\n"),                   1, "" },
    { "double quotes that never end",                BYTES("A=\"x\nB=1\n"),                  1, "" },
    { "double quotes whose end is escaped",          BYTES("A=\"x\\\"\n"),                   1, "" },
    { "a backslash before the end of the line",      BYTES("A=\"x\\"),                       1, "" },
    { "an unknown escape",                           BYTES("A=\"\\t\"\n"),                   1, "" },
    { "text after single quotes",                    BYTES("A='x'y\n"),                      1, "" },
    { "text after double quotes",                    BYTES("A=\"x\" y\n"),                   1, "" },
    { "a comment directly after quotes",             BYTES("A='x'#y\n"),                     1, "" },
    { "a NUL byte",                                  BYTES("A=1\nB=x\0y\n"),                 2, "A=[1]" },
    { "a BOM on a later line",                       BYTES("A=1\n\xef\xbb\xbf" "B=2\n"),     2, "A=[1]" },
};
/* clang-format on */

static void test_valid_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct buf story = {.max = 1000};
        size_t line;

        print_message("  %s\n", good[i].name);
        assert_int_equal(parse(good[i].text, good[i].len, &story, &line), 0);
        assert_string_equal(buf_text(&story), good[i].want);
        buf_deinit(&story);
    }
}

static void test_invalid_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct buf story = {.max = 1000};
        size_t line;

        print_message("  %s\n", bad[i].name);
        assert_int_equal(parse(bad[i].text, bad[i].len, &story, &line), ERR_SYNTAX);
        assert_int_equal(line, bad[i].line);
        assert_string_equal(buf_text(&story), bad[i].want);
        buf_deinit(&story);
    }
}

static void test_the_callback_can_stop_the_parser(void **state)
{
    struct buf story = {.max = 1000};
    size_t line;

    (void)state;
    assert_int_equal(parse(BYTES("A=1\nSTOP=2\nB=3\n"), &story, &line), ERR_NO_MEMORY);
    assert_string_equal(buf_text(&story), "A=[1]STOP=[2]");
    assert_int_equal(line, 2);
    buf_deinit(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_files),
        cmocka_unit_test(test_invalid_lines),
        cmocka_unit_test(test_the_callback_can_stop_the_parser),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
