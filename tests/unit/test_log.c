#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/utf8.h"

enum { LINE_ROOM = 65536 };

/* Captures stderr in a pipe between capture_start and capture_end. */
struct capture {
    int read_fd, real_stderr;
    char text[LINE_ROOM];
};

static void capture_start(struct capture *capture)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, LINE_ROOM) >= LINE_ROOM);
    capture->read_fd = fds[0];
    capture->real_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[1]);
}

static const char *capture_end(struct capture *capture)
{
    size_t len = 0;
    ssize_t got;

    dup2(capture->real_stderr, STDERR_FILENO); /* closes the last write end */
    close(capture->real_stderr);
    while ((got = read(capture->read_fd, capture->text + len, sizeof(capture->text) - 1 - len)) > 0)
        len += (size_t)got;
    close(capture->read_fd);
    capture->text[len] = '\0';
    return capture->text;
}

/* The line after the time, which is 24 bytes and a space. */
static const char *without_time(const char *line)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        if (shape[i] == 'd')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], shape[i]);
    }
    return line + sizeof(shape) - 1;
}

static void assert_is_one_clean_line(const char *text)
{
    size_t len = strlen(text);

    assert_true(len > 0 && text[len - 1] == '\n');
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    for (size_t at = 0; at < len - 1;) {
        size_t step = utf8_char_len(text + at, len - at);

        assert_true(step > 0 && (unsigned char)text[at] >= ' ' && text[at] != 0x7f);
        at += step;
    }
}

static void test_a_text_line(void **state)
{
    struct capture capture;
    const char *line;

    (void)state;
    log_setup(LOG_INFO, LOG_TEXT);
    capture_start(&capture);
    log_info("runner", "claimed", "task=%s attempt=%d", "public.t1", 1);
    line = capture_end(&capture);
    assert_string_equal(without_time(line), "info  runner  claimed task=public.t1 attempt=1\n");
}

static void test_a_text_line_without_fields(void **state)
{
    struct capture capture;
    const char *line;

    (void)state;
    log_setup(LOG_ERROR, LOG_TEXT);
    capture_start(&capture);
    log_error("gateway", "cannot listen", "%s", "");
    line = capture_end(&capture);
    assert_string_equal(without_time(line), "error gateway cannot listen\n");
}

static void test_levels_below_the_threshold_are_silent(void **state)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};
    struct capture capture;

    (void)state;
    for (int threshold = 0; threshold < 4; threshold++) {
        int lines = 0;

        log_setup(levels[threshold], LOG_TEXT);
        capture_start(&capture);
        log_error("a", "b", "%s", "");
        log_warn("a", "b", "%s", "");
        log_info("a", "b", "%s", "");
        log_debug("a", "b", "%s", "");
        for (const char *c = capture_end(&capture); *c; c++)
            lines += *c == '\n';
        assert_int_equal(lines, threshold + 1);
        assert_true(log_enabled(levels[threshold]));
    }
}

static json_t *log_as_json(struct capture *capture, const char *fields)
{
    const char *line;
    json_error_t error;
    json_t *root;

    log_setup(LOG_INFO, LOG_JSON);
    capture_start(capture);
    log_warn("hub", "a \"message\"", "%s", fields);
    line = capture_end(capture);
    assert_is_one_clean_line(line);
    root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s in %s", error.text, line);
    assert_string_equal(json_string_value(json_object_get(root, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(root, "component")), "hub");
    assert_string_equal(json_string_value(json_object_get(root, "message")), "a \"message\"");
    assert_int_equal(json_string_length(json_object_get(root, "time")), 24);
    return root;
}

/* clang-format off */
static const struct { const char *name, *fields, *key, *want; } json_cases[] = {
    { "a word is a string",                       "task=public.t1",              "task",  "public.t1" },
    { "a number is a string",                     "n=1 attempt=2",               "attempt", "2" },
    { "an empty value",                           "why= n=1",                    "why",   "" },
    { "a value with an equals sign",              "url=http://x/?a=b",           "url",   "http://x/?a=b" },
    { "a quoted value keeps its spaces",          "why=\"it is gone\" n=1",      "why",   "it is gone" },
    { "a quoted value keeps its escapes",         "why=\"a \\\"b\\\" \\\\ \\u0007\" n=1", "why", "a \"b\" \\ \a" },
    { "the field after a quoted one",             "why=\"a b=c\" n=1",           "n",     "1" },
    { "several spaces between fields",            "a=1   b=2",                   "b",     "2" },
    { "a quote inside a word",                    "a=x\"y b=2",                  "a",     "x\"y b=2" },
    { "a quoted value followed by text",          "a=\"x\"y b=2",                "a",     "\"x\"y" },
    { "a quoted value that never ends",           "a=\"x y",                     "a",     "\"x y" },
    { "a lone quote",                             "a=\" b=2",                    "a",     "\" b=2" },
    { "an escape that is not JSON",               "a=\"\\x\" b=2",               "a",     "\"\\x\"" },
    { "a broken unicode escape",                  "a=\"\\u12\" b=2",             "a",     "\"\\u12\"" },
    { "a backslash at the very end",              "a=\"x\\",                     "a",     "\"x\\" },
    { "a line end outside quotes",                "a=x\ny b=2",                  "a",     "x?y" },
    { "a control byte inside quotes",             "a=\"x\ty\" b=2",              "a",     "x?y" },
    { "an invalid UTF-8 byte",                    "a=x\xffy b=2",                "a",     "x?y" },
    { "UTF-8 is kept",                            "a=图像 b=2",                  "a",     "图像" },
};
/* clang-format on */

static void test_json_lines(void **state)
{
    struct capture capture;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(json_cases); i++) {
        json_t *root;

        print_message("  %s\n", json_cases[i].name);
        root = log_as_json(&capture, json_cases[i].fields);
        assert_non_null(json_object_get(root, json_cases[i].key));
        assert_string_equal(json_string_value(json_object_get(root, json_cases[i].key)), json_cases[i].want);
        json_decref(root);
    }
}

static void test_text_lines_stay_one_line(void **state)
{
    struct capture capture;
    const char *line;

    (void)state;
    log_setup(LOG_INFO, LOG_TEXT);
    capture_start(&capture);
    log_info("http", "request", "path=%s", "/x\r\n2026-01-02T03:04:05.678Z info forged\x1b[2J\xff");
    line = capture_end(&capture);
    assert_is_one_clean_line(line);
    assert_string_equal(without_time(line),
                        "info  http    request path=/x??2026-01-02T03:04:05.678Z info forged?[2J?\n");
}

/* At all lengths around the limit, a cut must not split a character or an escape. */
static void test_long_fields_are_truncated_and_stay_valid(void **state)
{
    static const char *const units[] = {"x", "图", "\\\"", "\x01", "\\u0007"};
    static char fields[8192];
    struct capture capture;

    (void)state;
    for (size_t u = 0; u < ARRAY_LENGTH(units); u++) {
        for (size_t lead = 0; lead < 8; lead++) {
            size_t at = lead;

            memset(fields, 'a', lead);
            memcpy(fields + at, "=\"", 2);
            for (at += 2; at < 4000; at += strlen(units[u]))
                memcpy(fields + at, units[u], strlen(units[u]));
            memcpy(fields + at, "\"", 2);
            json_decref(log_as_json(&capture, fields));
            assert_true(strlen(capture.text) > 2000);
            assert_non_null(strstr(capture.text, "..."));
        }
    }
}

static void test_the_longest_escaped_line_is_written(void **state)
{
    static char fields[4000];
    struct capture capture;

    (void)state;
    memset(fields, '\\', sizeof(fields) - 1);
    memcpy(fields, "a=", 2);
    json_decref(log_as_json(&capture, fields));
}

/* clang-format off */
static const struct { const char *name, *text; size_t room; const char *want; } quote_cases[] = {
    { "nothing",                                     "",                    32, "\"\"" },
    { "words",                                       "it is gone",          32, "\"it is gone\"" },
    { "quotes and backslashes",                      "a\"b\\c",             32, "\"a\\\"b\\\\c\"" },
    { "control bytes",                               "a\n\x1b\x7f",         32, "\"a\\u000a\\u001b\\u007f\"" },
    { "an invalid UTF-8 byte",                       "a\xff",               32, "\"a\\ufffd\"" },
    { "a truncated character",                       "a\xe5\x9b",           32, "\"a\\ufffd\\ufffd\"" },
    { "UTF-8",                                       "图像",                32, "\"图像\"" },
    { "just enough room",                            "abcdefghij",          16, "\"abcdefghij\"" },
    { "cut at the end of the room",                  "abcdefghijklmnopq",   16, "\"abcdefghij...\"" },
    { "an escape is not cut in two",                 "abcdefghi\n\n\n",     16, "\"abcdefghi...\"" },
    { "a character is not cut in two",               "abcdefgh图像",        16, "\"abcdefgh...\"" },
    { "the smallest room",                           "abcdefgh",             8, "\"ab...\"" },
};
/* clang-format on */

static void test_quoting(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(quote_cases); i++) {
        char *out = malloc(quote_cases[i].room); /* an exact allocation, so that ASan sees an overrun */
        json_t *parsed;

        print_message("  %s\n", quote_cases[i].name);
        assert_ptr_equal(log_quote(out, quote_cases[i].room, quote_cases[i].text), out);
        assert_string_equal(out, quote_cases[i].want);
        parsed = json_loads(out, JSON_DECODE_ANY, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
        free(out);
    }
}

static void test_a_quoted_value_of_any_size_is_json(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        for (size_t room = 8; room < 32; room++) {
            const char text[] = {'x', (char)c, (char)c, (char)c, 'y', (char)c, '\0'};
            char *out = malloc(room);
            json_t *parsed;

            parsed = json_loads(log_quote(out, room, text), JSON_DECODE_ANY, NULL);
            assert_non_null(parsed);
            json_decref(parsed);
            free(out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_line),
        cmocka_unit_test(test_a_text_line_without_fields),
        cmocka_unit_test(test_levels_below_the_threshold_are_silent),
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_text_lines_stay_one_line),
        cmocka_unit_test(test_long_fields_are_truncated_and_stay_valid),
        cmocka_unit_test(test_the_longest_escaped_line_is_written),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_a_quoted_value_of_any_size_is_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
