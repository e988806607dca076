#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"

static void test_a_zeroed_buffer_with_a_maximum_is_ready(void **state)
{
    struct buf buf = {.max = 100};

    (void)state;
    assert_string_equal(buf_text(&buf), "");
    buf_add_text(&buf, "one ");
    buf_add_char(&buf, '2');
    buf_add(&buf, " three", 6);
    buf_addf(&buf, " %d %s", 4, "five");
    buf_add_char(&buf, ' ');
    buf_add_int(&buf, INT64_MIN);
    assert_string_equal(buf_text(&buf), "one 2 three 4 five -9223372036854775808");
    assert_int_equal(buf.len, strlen(buf_text(&buf)));
    assert_int_equal(buf_error(&buf), 0);
    buf_deinit(&buf);
}

static void test_the_maximum_can_be_filled_to_the_last_byte(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 4);
    buf_add(&buf, "1234", 4);
    assert_int_equal(buf_error(&buf), 0);
    buf_add(&buf, "", 0);
    assert_int_equal(buf_error(&buf), 0);
    buf_add_char(&buf, '5');
    assert_int_equal(buf_error(&buf), ERR_TOO_LONG);
    assert_string_equal(buf_text(&buf), "1234");
    buf_deinit(&buf);
}

static void test_the_first_error_is_kept(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 4);
    buf_addf(&buf, "%s", "12345");
    buf_add_char(&buf, 'x');
    buf_addf(&buf, "%d", 1);
    assert_int_equal(buf_error(&buf), ERR_TOO_LONG);
    assert_int_equal(buf.len, 0);
    assert_null(buf_take(&buf));
    buf_clear(&buf);
    buf_add_char(&buf, 'x');
    assert_int_equal(buf_error(&buf), 0);
    assert_string_equal(buf_text(&buf), "x");
    buf_deinit(&buf);
}

static void test_growing_byte_by_byte_loses_nothing(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10000);
    for (int i = 0; i < 10000; i++) {
        buf_add_char(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.data[buf.len], '\0');
    }
    assert_int_equal(buf_error(&buf), 0);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
    buf_deinit(&buf);
}

static void test_drop_front(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 8);
    buf_drop_front(&buf, 0);
    buf_add_text(&buf, "abcdefgh");
    buf_drop_front(&buf, 3);
    assert_string_equal(buf_text(&buf), "defgh");
    buf_add_text(&buf, "ijk");
    assert_string_equal(buf_text(&buf), "defghijk");
    buf_drop_front(&buf, 8);
    assert_string_equal(buf_text(&buf), "");
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf_error(&buf), 0);
    buf_deinit(&buf);
}

static void test_take_gives_the_bytes_to_the_caller(void **state)
{
    struct buf buf;
    char *first, *second;

    (void)state;
    buf_init(&buf, 100);
    buf_add_text(&buf, "mine");
    first = buf_take(&buf);
    assert_string_equal(first, "mine");
    assert_int_equal(buf.len, 0);
    second = buf_take(&buf);
    assert_string_equal(second, "");
    buf_add_text(&buf, "again");
    assert_string_equal(buf_text(&buf), "again");
    free(first);
    free(second);
    buf_deinit(&buf);
    buf_add_text(&buf, "after deinit");
    assert_string_equal(buf_text(&buf), "after deinit");
    buf_deinit(&buf);
}

#define BYTES(text) text, sizeof(text) - 1
/* clang-format off */
static const struct { const char *name, *text; size_t len; const char *want; } json_cases[] = {
    { "nothing",                                  BYTES(""),                      "\"\"" },
    { "plain text is copied",                     BYTES("plain/text"),            "\"plain/text\"" },
    { "UTF-8 is copied",                          BYTES("图像😀é"),                 "\"图像😀é\"" },
    { "quotes and backslashes are escaped",       BYTES("a\"b\\c"),               "\"a\\\"b\\\\c\"" },
    { "control bytes with a short form",          BYTES("\b\t\n\f\r"),            "\"\\b\\t\\n\\f\\r\"" },
    { "other control bytes",                      BYTES("\x01\x1f\x7f"),          "\"\\u0001\\u001f\\u007f\"" },
    { "characters that end a line in Unicode",    BYTES("a\xc2\x85\xe2\x80\xa8\xe2\x80\xa9z"), "\"a\\u0085\\u2028\\u2029z\"" },
    { "their neighbours are copied",              BYTES("\xc2\x84\xc2\x86\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8"),
      "\"\xc2\x84\xc2\x86\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\"" },
    { "half of one of them",                      BYTES("\xe2\x80"),              "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "a NUL byte in the middle",                 BYTES("a\0b"),                  "\"a\\u0000b\"" },
    { "an escape at either end",                  BYTES("\"x\""),                 "\"\\\"x\\\"\"" },
    { "an invalid UTF-8 byte",                    BYTES("a\xff" "b"),             "\"a\xef\xbf\xbd" "b\"" },
    { "a character truncated at the end",         BYTES("a\xe5\x9b"),             "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "half of a surrogate pair",                 BYTES("\xed\xa0\x80"),          "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "a lead byte does not swallow a quote",     BYTES("\xe5\""),                "\"\xef\xbf\xbd\\\"\"" },
};
/* clang-format on */

static void test_json_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(json_cases); i++) {
        struct buf buf;
        json_t *parsed;

        print_message("  %s\n", json_cases[i].name);
        buf_init(&buf, 1000);
        buf_add_json(&buf, json_cases[i].text, json_cases[i].len);
        assert_string_equal(buf_text(&buf), json_cases[i].want);
        parsed = json_loads(buf_text(&buf), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
        buf_deinit(&buf);
    }
}

/* buf_add_json tests 8 bytes at once: the byte to escape may be any of them. */
static void test_a_byte_is_escaped_at_any_position(void **state)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz";

    (void)state;
    for (int byte = 0; byte < 0x80; byte++) {
        struct buf alone;

        buf_init(&alone, 100);
        buf_add_json(&alone, &(char){(char)byte}, 1);
        for (size_t at = 0; at < sizeof(plain) - 1; at++) {
            struct buf whole, want;
            char text[sizeof(plain)];

            memcpy(text, plain, sizeof(text));
            text[at] = (char)byte;
            buf_init(&whole, 100);
            buf_add_json(&whole, text, sizeof(plain) - 1);
            buf_init(&want, 100);
            buf_addf(&want, "\"%.*s%.*s%s\"", (int)at, plain, (int)alone.len - 2, alone.data + 1, plain + at + 1);
            assert_string_equal(buf_text(&whole), buf_text(&want));
            buf_deinit(&want);
            buf_deinit(&whole);
        }
        buf_deinit(&alone);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        int64_t value;
        const char *decimal, *hex;
    } cases[] = {
        {0,         "0",                    "0"               },
        {7,         "7",                    "7"               },
        {-1,        "-1",                   "ffffffffffffffff"},
        {10,        "10",                   "a"               },
        {16,        "16",                   "10"              },
        {65535,     "65535",                "ffff"            },
        {INT64_MAX, "9223372036854775807",  "7fffffffffffffff"},
        {INT64_MIN, "-9223372036854775808", "8000000000000000"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf buf;

        buf_init(&buf, 100);
        buf_add_int(&buf, cases[i].value);
        assert_string_equal(buf_text(&buf), cases[i].decimal);
        buf_clear(&buf);
        buf_add_hex(&buf, (uint64_t)cases[i].value);
        assert_string_equal(buf_text(&buf), cases[i].hex);
        buf_deinit(&buf);
    }
}

/* It fits, needs more memory, or exceeds the maximum. */
static void test_formatted_text_with_any_room_left(void **state)
{
    enum { MAX = 600 };

    (void)state;
    for (size_t before = 0; before <= MAX; before++) {
        for (int len = 1; len <= 300; len += 3) {
            bool fits = before + (size_t)len <= MAX;
            struct buf buf;

            buf_init(&buf, MAX);
            while (buf.len < before)
                buf_add_char(&buf, '.');
            buf_addf(&buf, "%0*d", len, 7);
            assert_int_equal(buf_error(&buf), fits ? 0 : ERR_TOO_LONG);
            assert_int_equal(buf.len, before + (fits ? (size_t)len : 0));
            assert_int_equal(buf.len, strlen(buf_text(&buf)));
            buf_deinit(&buf);
        }
    }
}

static void test_every_byte_makes_valid_json(void **state)
{
    (void)state;
    for (int first = 0; first < 256; first++) {
        for (int second = 0; second < 256; second++) {
            const char text[] = {(char)first, (char)second};
            struct buf buf;
            json_t *parsed;

            buf_init(&buf, 100);
            buf_add_json(&buf, text, 2);
            parsed = json_loads(buf_text(&buf), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_non_null(parsed);
            if (first < 0x80 && second < 0x80)
                assert_memory_equal(json_string_value(parsed), text, 2);
            json_decref(parsed);
            buf_deinit(&buf);
        }
    }
}

static void test_error_texts(void **state)
{
    (void)state;
    assert_string_equal(err_text(0), "ok");
    assert_string_equal(err_text(ERR_TOO_LONG), "too long");
    assert_string_equal(err_text(ERR_TIMEOUT), "no answer in time");
    assert_string_equal(err_text(ERR_CLOSED), "closed");
    assert_string_equal(err_text(ERR_CLOSED - 1), "unknown error");
    assert_string_equal(err_text(1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_zeroed_buffer_with_a_maximum_is_ready),
        cmocka_unit_test(test_the_maximum_can_be_filled_to_the_last_byte),
        cmocka_unit_test(test_the_first_error_is_kept),
        cmocka_unit_test(test_growing_byte_by_byte_loses_nothing),
        cmocka_unit_test(test_drop_front),
        cmocka_unit_test(test_take_gives_the_bytes_to_the_caller),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_a_byte_is_escaped_at_any_position),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_formatted_text_with_any_room_left),
        cmocka_unit_test(test_every_byte_makes_valid_json),
        cmocka_unit_test(test_error_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
