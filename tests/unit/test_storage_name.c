/* Names, days and records of stored pictures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/macros.h"
#include "common/storage/name.h"
#include "common/storage/outcome.h"
#include "common/storage/record.h"

#define DAY_MS (24LL * 60 * 60 * 1000)
#define PART64 "0123456789abcdef0123456789ABCDEF_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-"

static const struct {
    const char *name;
    bool is_valid;
} names[] = {
    {"20261207/0123456789abcdef0123456789abcdef", true },
    {"a/b",                                       true },
    {PART64 "/" PART64,                           true },
    {PART64 "x/a",                                false},
    {"a/" PART64 "x",                             false},
    {"",                                          false},
    {"a",                                         false},
    {"/a",                                        false},
    {"a/",                                        false},
    {"a//b",                                      false},
    {"a/b/c",                                     false},
    {"a/b/",                                      false},
    {"../a",                                      false},
    {"a/..",                                      false},
    {"a/.",                                       false},
    {"a/b.png",                                   false},
    {"a\\b",                                      false},
    {"a/b\n",                                     false},
    {"a/b c",                                     false},
    {"a/%2e%2e",                                  false},
    {"a/\xc3\xa4",                                false},
};

static void test_names_are_validated(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        print_message("  %s\n", names[i].name);
        assert_int_equal(storage_name_is_valid(names[i].name), names[i].is_valid);
    }
}

static void test_a_name_is_split(void **state)
{
    char folder[STORAGE_PART_MAX + 1];
    const char *file;

    (void)state;
    storage_name_split("20261207/abc", folder, &file);
    assert_string_equal(folder, "20261207");
    assert_string_equal(file, "abc");
}

static const struct {
    const char *text, *day;
} days_after[] = {
    {"",           "19700101"},
    {"0/a",        "19700101"},
    {"2020-a",     "20200101"},
    {"20201231",   "20201231"},
    {"20201231-",  "20201231"},
    {"20201231/",  "20210101"},
    {"20201231/a", "20210101"},
    {"202012310",  "20210101"},
    {"20201340/a", "20210101"},
    {"2021x",      "20220101"},
    {"z",          "99991231"},
    {"\xff",       "99991231"},
};

static void test_the_day_that_sorts_after_a_text(void **state)
{
    char day[STORAGE_DAY_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(days_after); i++) {
        print_message("  %s\n", days_after[i].text);
        storage_day_write(day, storage_day_after(days_after[i].text, strlen(days_after[i].text)));
        assert_string_equal(day, days_after[i].day);
    }
}

static void test_ids_are_random_and_valid(void **state)
{
    char first[STORAGE_ID_SIZE], second[STORAGE_ID_SIZE], name[STORAGE_NAME_SIZE];

    (void)state;
    storage_id_make(first);
    storage_id_make(second);
    assert_int_equal(strlen(first), 32);
    assert_true(storage_id_is_valid(first, 32));
    assert_string_not_equal(first, second);
    assert_false(storage_id_is_valid(first, 31));
    assert_false(storage_id_is_valid("0123456789ABCDEF0123456789abcdef", 32));
    assert_false(storage_id_is_valid("0123456789abcdef0123456789abcde/", 32));
    storage_name_of_picture(name, 20794, first);
    assert_true(storage_name_is_valid(name));
    assert_memory_equal(name, "20261207/", 9);
}

/* -- days */

/* Every day for 400 years, against the C library. */
static void test_days_match_the_calendar(void **state)
{
    (void)state;
    for (int day = 0; day < 146097 + 1; day++) {
        time_t seconds = (time_t)day * 24 * 60 * 60;
        char text[STORAGE_DAY_SIZE], expected[16];
        struct tm tm;
        int again = -1;

        (void)gmtime_r(&seconds, &tm);
        (void)strftime(expected, sizeof(expected), "%Y%m%d", &tm);
        storage_day_write(text, day);
        assert_string_equal(text, expected);
        assert_true(storage_day_read(text, 8, &again));
        assert_int_equal(again, day);
    }
}

static void test_the_day_of_a_time(void **state)
{
    char text[STORAGE_DAY_SIZE];

    (void)state;
    assert_int_equal(storage_day_of(0), 0);
    assert_int_equal(storage_day_of(DAY_MS - 1), 0);
    assert_int_equal(storage_day_of(DAY_MS), 1);
    assert_int_equal(storage_day_of(-1), 0);
    storage_day_write(text, storage_day_of(INT64_MAX));
    assert_string_equal(text, "99991231");
    storage_day_write(text, -5);
    assert_string_equal(text, "19700101");
}

static void test_invalid_days_are_refused(void **state)
{
    static const char *const texts[] = {"",         "2026120",  "202612071", "20261301", "20260001", "20261200",
                                        "20261232", "20260229", "20250431",  "00000000", "19691231", "2026-2-7",
                                        "2026120x", "+2026120", " 2026120",  "2026120 "};
    int day = -1;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        print_message("  %s\n", texts[i]);
        assert_false(storage_day_read(texts[i], strlen(texts[i]), &day));
    }
    assert_true(storage_day_read("20240229xyz", 8, &day));
    assert_int_equal(day, 19782);
}

static void test_a_picture_expires_after_its_day_and_is_swept_one_day_later(void **state)
{
    (void)state;
    assert_false(storage_day_is_expired(100, 99));
    assert_false(storage_day_is_expired(100, 100));
    assert_true(storage_day_is_expired(100, 101));
    assert_false(storage_day_is_swept(100, 101));
    assert_true(storage_day_is_swept(100, 102));
}

/* -- records */

#define SHA "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void pad(char out[RECORD_SIZE], const char *text)
{
    memset(out, ' ', RECORD_SIZE);
    memcpy(out, text, strlen(text));
    out[RECORD_SIZE - 1] = '\n';
}

static void test_a_record_is_read_as_it_was_written(void **state)
{
    struct storage_about about = {
        .size = 7,
        .image = {.width = 4294967295u, .height = 1},
        .sha256 = SHA,
        .owner = "a-client_with-a-name-of-32-chars"
    };
    struct storage_about again = {.size = 9};
    char record[RECORD_SIZE];

    (void)state;
    for (int type = IMAGE_NONE + 1; type < IMAGE_TYPE_COUNT; type++) {
        about.image.type = (enum image_type)type;
        record_write(record, &about);
        assert_int_equal(record_read(record, &again), 0);
        assert_int_equal(again.image.type, type);
        assert_true(again.image.width == about.image.width && again.image.height == 1);
        assert_string_equal(again.sha256, SHA);
        assert_string_equal(again.owner, about.owner);
        assert_int_equal(again.size, 9);
    }
}

static const struct {
    const char *name, *text;
} bad_records[] = {
    {"empty",                 ""                                                                                             },
    {"no leading newline",    "arkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=shop"                               },
    {"another version",       "\narkrelay/2 sha256=" SHA " type=image/png pixels=5x7 owner=shop"                             },
    {"a digest in capitals",  "\narkrelay/1 sha256=B" SHA " type=image/png pixels=5x7 owner=shop"                            },
    {"a short digest",        "\narkrelay/1 sha256=ba type=image/png pixels=5x7 owner=shop"                                  },
    {"an unknown type",       "\narkrelay/1 sha256=" SHA " type=text/html pixels=5x7 owner=shop"                             },
    {"no type",               "\narkrelay/1 sha256=" SHA " pixels=5x7 owner=shop"                                            },
    {"no width",              "\narkrelay/1 sha256=" SHA " type=image/png pixels=x7 owner=shop"                              },
    {"no height",             "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x owner=shop"                              },
    {"no x",                  "\narkrelay/1 sha256=" SHA " type=image/png pixels=57 owner=shop"                              },
    {"width 0",               "\narkrelay/1 sha256=" SHA " type=image/png pixels=0x7 owner=shop"                             },
    {"a leading zero",        "\narkrelay/1 sha256=" SHA " type=image/png pixels=05x7 owner=shop"                            },
    {"a sign",                "\narkrelay/1 sha256=" SHA " type=image/png pixels=+5x7 owner=shop"                            },
    {"a width of 2^32",       "\narkrelay/1 sha256=" SHA " type=image/png pixels=4294967296x7 owner=shop"                    },
    {"a width of 2^64",       "\narkrelay/1 sha256=" SHA " type=image/png pixels=18446744073709551616x7 owner=shop"          },
    {"more after the height", "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7x owner=shop"                            },
    {"no owner",              "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner="                                 },
    {"an owner with a dot",   "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=a.b"                              },
    {"an owner in capitals",  "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=Shop"                             },
    {"an owner of 33",        "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=a12345678901234567890123456789012"},
    {"another order",         "\narkrelay/1 sha256=" SHA " pixels=5x7 type=image/png owner=shop"                             },
    {"more after the owner",  "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=shop  x"                          },
    {"two spaces",            "\narkrelay/1  sha256=" SHA " type=image/png pixels=5x7 owner=shop"                            },
};

static void test_invalid_records_are_refused(void **state)
{
    struct storage_about about = {.size = 5};
    char record[RECORD_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad_records); i++) {
        print_message("  %s\n", bad_records[i].name);
        pad(record, bad_records[i].text);
        assert_int_equal(record_read(record, &about), ERR_SYNTAX);
        assert_int_equal(about.image.width, 0);
    }
    pad(record, "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=shop");
    assert_int_equal(record_read(record, &about), 0);
    record[RECORD_SIZE - 1] = ' ';
    assert_int_equal(record_read(record, &about), ERR_SYNTAX);
    pad(record, "\narkrelay/1 sha256=" SHA " type=image/png pixels=5x7 owner=shop");
    record[RECORD_SIZE - 2] = '\0';
    assert_int_equal(record_read(record, &about), ERR_SYNTAX);
}

static void test_single_fields_are_read(void **state)
{
    struct storage_about about = {0};

    (void)state;
    assert_int_equal(record_read_field("owner", 5, "shop", 4, &about), 0);
    assert_int_equal(record_read_field("pixels", 6, "5x7", 3, &about), 0);
    assert_int_equal(record_read_field("pixels", 6, "5x7 ", 4, &about), ERR_SYNTAX);
    assert_int_equal(record_read_field("colour", 6, "red", 3, &about), ERR_NOT_FOUND);
    assert_string_equal(about.owner, "shop");
    assert_true(about.image.width == 5 && about.image.height == 7);
}

static void test_every_end_has_a_name(void **state)
{
    struct storage_outcome outcome;

    (void)state;
    for (int end = 0; end < STORAGE_END_COUNT; end++)
        assert_true(strlen(storage_end_name((enum storage_end)end)) > 0);
    assert_true(storage_end_is_passing(STORAGE_BUSY));
    assert_false(storage_end_is_passing(STORAGE_INVALID));
    storage_outcome_set_errno(&outcome, "write", 28 /* ENOSPC */);
    assert_int_equal(outcome.end, STORAGE_FULL);
    assert_string_equal(outcome.words, "write: No space left on device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_validated),
        cmocka_unit_test(test_a_name_is_split),
        cmocka_unit_test(test_the_day_that_sorts_after_a_text),
        cmocka_unit_test(test_ids_are_random_and_valid),
        cmocka_unit_test(test_days_match_the_calendar),
        cmocka_unit_test(test_the_day_of_a_time),
        cmocka_unit_test(test_invalid_days_are_refused),
        cmocka_unit_test(test_a_picture_expires_after_its_day_and_is_swept_one_day_later),
        cmocka_unit_test(test_a_record_is_read_as_it_was_written),
        cmocka_unit_test(test_invalid_records_are_refused),
        cmocka_unit_test(test_single_fields_are_read),
        cmocka_unit_test(test_every_end_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
