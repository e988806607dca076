/* Forms: recordings of real clients (tests/data/forms), malformed bodies, limits; and that the result does not depend on how a body is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/http/chunked.h"
#include "common/http/multipart.h"
#include "common/http/request_parser.h"

enum { NONE = -1, FILE_BYTES = 8192, STORY_MAX = 64 * 1024, FORMS_MIN = 16, PICTURE_BYTES = 290 };

#define PROMPT "换脸: \"a\" & b\r\n--x"

/* -- what a handler is told, as one text: "(name|file|type)content." for each part */

struct story {
    struct buf text;
    const char *stop_at; /* the handler refuses this part, or its content */
    bool stop_in_content;
    bool stopping;
};

static bool story_on_part(const struct http_multipart_part *part, void *arg)
{
    struct story *story = arg;

    buf_addf(&story->text, "(%s%s%.*s)", part->name, part->is_file ? "@" : "",
             part->content_type.data ? (int)part->content_type.len : 0, part->content_type.data);
    story->stopping = story->stop_at && strcmp(part->name, story->stop_at) == 0;
    return !story->stopping || story->stop_in_content;
}

static bool story_on_content(const char *bytes, size_t len, void *arg)
{
    struct story *story = arg;

    assert_true(len > 0);
    buf_add(&story->text, bytes, len);
    return !story->stopping;
}

static bool story_on_end(void *arg)
{
    struct story *story = arg;

    buf_add_char(&story->text, '.');
    return true;
}

static const struct http_multipart_limits wide = {.parts_max = 20, .total_max = 1 << 20};

static void begin(struct http_multipart *multipart, struct story *story, const char *boundary,
                  const struct http_multipart_limits *limits)
{
    const struct http_multipart_handler handler = {story_on_part, story_on_content, story_on_end, story};

    buf_init(&story->text, STORY_MAX);
    http_multipart_init(multipart, boundary, limits, &handler);
}

/* Pieces of `step` bytes, each in a copy of its own length, so that a read beyond its end is detected. */
static enum http_parse feed(struct http_multipart *multipart, const char *body, size_t len, size_t step)
{
    enum http_parse parse = HTTP_PARSE_MORE;

    for (size_t at = 0; at < len && parse != HTTP_PARSE_FAILED; at += step) {
        size_t n = len - at < step ? len - at : step;
        char *copy = malloc(n);

        assert_non_null(copy);
        memcpy(copy, body + at, n);
        parse = http_multipart_run(multipart, copy, n);
        free(copy);
    }
    return parse == HTTP_PARSE_FAILED ? parse : http_multipart_finish(multipart);
}

/* -- recordings */

static size_t read_file(const char *name, char out[FILE_BYTES])
{
    char path[512];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "%s/forms/%s", TEST_DATA, name);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("no file %s", path);
    len = fread(out, 1, FILE_BYTES - 1, file);
    (void)fclose(file);
    out[len] = '\0';
    return len;
}

/* The parts of the index without the types of the parts, which differ between clients. */
static void tell_expected(struct buf *out, char *parts)
{
    char picture[FILE_BYTES], *rest = NULL;
    size_t len = read_file("picture.bin", picture);

    assert_int_equal(len, PICTURE_BYTES);
    for (const char *word = strtok_r(parts, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        size_t name_len = strcspn(word, "@~=");

        buf_addf(out, "(%.*s%s)", (int)name_len, word, word[name_len] == '@' ? "@" : "");
        if (word[name_len] == '@')
            buf_add(out, picture, len);
        else
            buf_add_text(out, word[name_len] == '~' ? PROMPT : word + name_len + 1);
        buf_add_char(out, '.');
    }
}

static bool story_on_recorded_part(const struct http_multipart_part *part, void *arg)
{
    struct http_multipart_part plain = *part;

    if (part->is_file && part->content_type.data)
        assert_true(part->content_type.len > strlen("image/"));
    plain.content_type = (struct http_text){0};
    return story_on_part(&plain, arg);
}

struct form {
    char raw[FILE_BYTES], body[FILE_BYTES], boundary[HTTP_BOUNDARY_SIZE];
    size_t body_len;
};

static void read_form(struct form *form, const char *name)
{
    const struct http_limits limits = {.target_max = 4096, .head_max = 8192, .body_max = FILE_BYTES};
    struct http_parser parser;
    struct http_request request;
    struct http_chunked chunked;
    char path[128];
    size_t len, head_len, taken;

    (void)snprintf(path, sizeof(path), "%s.http", name);
    len = read_file(path, form->raw);
    http_parser_init(&parser, &limits);
    assert_int_equal(http_parser_run(&parser, form->raw, len, &head_len), HTTP_PARSE_DONE);
    http_parser_request(&parser, form->raw, &request);
    assert_true(http_multipart_boundary(http_request_header(&request, "Content-Type"), form->boundary));
    form->body_len = len - head_len;
    memcpy(form->body, form->raw + head_len, form->body_len);
    if (!request.chunked)
        return;
    http_chunked_init(&chunked, FILE_BYTES);
    assert_int_equal(
        http_chunked_run(&chunked, form->raw + head_len, len - head_len, &taken, form->body, &form->body_len),
        HTTP_PARSE_DONE);
}

static void expect_story(const struct form *form, const struct buf *expected, size_t step, const char *name)
{
    struct http_multipart multipart;
    struct story story = {0};

    begin(&multipart, &story, form->boundary, &wide);
    multipart.handler.on_part = story_on_recorded_part;
    if (feed(&multipart, form->body, form->body_len, step) != HTTP_PARSE_DONE)
        fail_msg("%s: %s", name, multipart.detail);
    if (story.text.len != expected->len || memcmp(story.text.data, expected->data, expected->len) != 0)
        fail_msg("%s, in pieces of %zu: %s instead of %s", name, step, buf_text(&story.text), buf_text(expected));
    buf_deinit(&story.text);
}

static void check_recording(const char *name, char *parts)
{
    static struct form form;
    struct buf expected;

    read_form(&form, name);
    buf_init(&expected, STORY_MAX);
    tell_expected(&expected, parts);
    for (size_t step = 1; step < 80; step++)
        expect_story(&form, &expected, step, name);
    expect_story(&form, &expected, form.body_len, name);
    buf_deinit(&expected);
}

static void test_recorded_forms(void **state)
{
    char index[FILE_BYTES], *rest = NULL;
    size_t count = 0;

    (void)state;
    (void)read_file("index.tsv", index);
    (void)strtok_r(index, "\n", &rest);
    for (char *row = strtok_r(NULL, "\n", &rest); row; row = strtok_r(NULL, "\n", &rest), count++) {
        char *tab = strchr(row, '\t'), *parts = strrchr(row, '\t');

        *tab = '\0';
        check_recording(row, parts + 1);
    }
    assert_true(count >= FORMS_MIN);
}

/* -- bodies; the boundary is "B" */

#define PART(name, content) "--B\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" content "\r\n"
#define HEAD(head)          "--B\r\n" head "\r\n\r\nx\r\n--B--\r\n"
#define END                 "--B--"

/* clang-format off */
static const struct { const char *name, *body, *story; } fine[] = {
    { "one field",                       PART("a", "1") END,                                   "(a)1." },
    { "a line break at the end",         PART("a", "1") END "\r\n",                            "(a)1." },
    { "no part at all",                  END,                                                  "" },
    { "a preamble and an epilogue",      "hello\r\n" PART("a", "1") END "\r\nbye",             "(a)1." },
    { "a preamble that is a line break", "\r\n" PART("a", "1") END,                            "(a)1." },
    { "a preamble with half a boundary", "--\r\n--A\r\n" PART("a", "1") END,                   "(a)1." },
    { "white space after boundaries",    "--B \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--B-- \t\r\n", "(a)1." },
    { "empty content",                   PART("a", "") END,                                    "(a)." },
    { "no content, RFC 2046",            "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n--B--", "(a)." },
    { "content that is a line break",    PART("a", "\r\n") END,                                "(a)\r\n." },
    { "content like a delimiter",        PART("a", "\r\n--\r\n-B\r\n--A\r--B\n--B \r\r\n") END, "(a)\r\n--\r\n-B\r\n--A\r--B\n--B \r\r\n." },
    { "content that begins like one",    PART("a", "--") END,                                  "(a)--." },
    { "a boundary inside a line",        PART("a", "x--B") END,                                "(a)x--B." },
    { "a quoted name",                   PART("\"a b\"", "1") END,                             "(a b)1." },
    { "an escaped quote in a name",      PART("\"a\\\"b\\\\c\\d\"", "1") END,                  "(a\"b\\c\\d)1." },
    { "brackets in a name",              PART("image[]", "1") END,                             "(image[])1." },
    { "UTF-8 in a name",               PART("\"\xe5\x9b\xbe\"", "1") END,                "(\xe5\x9b\xbe)1." },
    { "a semicolon in a name",           PART("\"a;b\"; filename=\"c;d\"", "1") END,           "(a;b@)1." },
    { "an empty file name",              PART("a; filename=\"\"", "") END,                     "(a@)." },
    { "only filename*",                  PART("a; filename*=utf-8''%e5.png", "1") END,         "(a@)1." },
    { "a path of Windows",               PART("a; filename=\"C:\\dir\\x.png\"", "1") END,      "(a@)1." },
    { "other cases and spaces",          HEAD("content-disposition:Form-Data ; Name = a ; FileName=b ;"), "(a@)x." },
    { "a type",                          HEAD("Content-Type: text/plain; charset=utf-8 \r\nContent-Disposition: form-data; name=a"), "(atext/plain; charset=utf-8)x." },
    { "headers that are ignored",        HEAD("Content-Length: 9\r\nX: \r\nContent-Disposition: form-data; name=a; x=y"), "(a)x." },
    { "a transfer encoding that is none", HEAD("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: Binary"), "(a)x." },
    { "the same name twice",             PART("a", "1") PART("a", "2") END,                    "(a)1.(a)2." },
};

static const struct { const char *name, *body, *detail; } bad[] = {
    { "empty",                     "",                                               "does not have the boundary" },
    { "something else",            "{\"prompt\":\"x\"}",                             "does not have the boundary" },
    { "another boundary",          "--C\r\n\r\n--C--",                               "does not have the boundary" },
    { "bare line feeds",           "--B\nContent-Disposition: form-data; name=a\n\n1\n--B--", "has other text after it" },
    { "cut in the head",           "--B\r\nContent-Disp",                            "not complete" },
    { "cut in the content",        PART("a", "1"),                                   "not complete" },
    { "cut in the last boundary",  PART("a", "1") "--B-",                            "not complete" },
    { "cut after a boundary",      PART("a", "1") "--B",                             "not complete" },
    { "cut in the last line",      PART("a", "1") END "\r",                          "not complete" },
    { "a longer boundary",         "--BB\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--BB--", "has other text after it" },
    { "text after the last one",   PART("a", "1") END "x",                           "has other text after it" },
    { "one dash",                  PART("a", "1") "--B-\r\n",                        "two dashes" },
    { "a bare CR after it",        PART("a", "1") END "\rx",                         "CR LF" },
    { "bare LF in the head",       "--B\r\nContent-Disposition: form-data; name=a\n\n1\r\n--B--", "CR LF" },
    { "bare CR in the head",       HEAD("Content-Disposition: form-data; name=a\rX: y"), "CR LF" },
    { "no head",                   "--B\r\n\r\n1\r\n--B--",                          "no Content-Disposition" },
    { "no disposition",            HEAD("Content-Type: text/plain"),                 "no Content-Disposition" },
    { "no name",                   HEAD("Content-Disposition: form-data"),           "no name" },
    { "an empty name",             HEAD("Content-Disposition: form-data; name=\"\""), "empty or too long" },
    { "an empty name, no quotes",  HEAD("Content-Disposition: form-data; name="),    "malformed" },
    { "a file, not a field",       HEAD("Content-Disposition: attachment; name=a"),  "not form-data" },
    { "two names",                 HEAD("Content-Disposition: form-data; name=a; name=b"), "two" },
    { "two dispositions",          HEAD("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"), "two" },
    { "two types",                 HEAD("Content-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: c/d"), "two" },
    { "a quote that does not end", HEAD("Content-Disposition: form-data; name=\"a"),  "malformed" },
    { "text after a quote",        HEAD("Content-Disposition: form-data; name=\"a\"b"), "malformed" },
    { "a quote in a token",        HEAD("Content-Disposition: form-data; name=a\"b\""), "malformed" },
    { "a parameter without value", HEAD("Content-Disposition: form-data; name"),     "malformed" },
    { "a folded line",             HEAD("Content-Disposition: form-data; name=a;\r\n filename=b"), "header line" },
    { "a space before the colon",  HEAD("Content-Disposition : form-data; name=a"),  "header line" },
    { "a line without colon",      HEAD("Content-Disposition"),                      "header line" },
    { "a name not in UTF-8",       HEAD("Content-Disposition: form-data; name=\"a\x80\""), "UTF-8" },
    { "half a character",          HEAD("Content-Disposition: form-data; name=a\xe4\xbd"), "UTF-8" },
    { "a control byte",            HEAD("Content-Disposition: form-data; name=\"a\x01\""), "header line" },
    { "base64",                    HEAD("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"), "Content-Transfer-Encoding" },
};

static const struct { const char *name, *type, *boundary; } types[] = {
    { "plain",                  "multipart/form-data; boundary=B",             "B" },
    { "quoted, as .NET does",   "multipart/form-data; boundary=\"a-b c\"",     "a-b c" },
    { "capitals, tight",        "Multipart/Form-Data;BOUNDARY=B",              "B" },
    { "with a charset",         "multipart/form-data; charset=utf-8; boundary=B;", "B" },
    { "equals signs",           "multipart/form-data; boundary====12==",       "===12==" },
    { "every byte allowed",     "multipart/form-data; boundary='()+_,-./:=?0aZ", "'()+_,-./:=?0aZ" },
    { "no boundary",            "multipart/form-data",                         NULL },
    { "an empty one",           "multipart/form-data; boundary=",              NULL },
    { "an empty one in quotes", "multipart/form-data; boundary=\"\"",          NULL },
    { "two",                    "multipart/form-data; boundary=B; boundary=C", NULL },
    { "a space at the end",     "multipart/form-data; boundary=\"B \"",        NULL },
    { "another byte",           "multipart/form-data; boundary=\"B@\"",        NULL },
    { "70 bytes",               "multipart/form-data; boundary=1234567890123456789012345678901234567890123456789012345678901234567890",
      "1234567890123456789012345678901234567890123456789012345678901234567890" },
    { "71 bytes",               "multipart/form-data; boundary=12345678901234567890123456789012345678901234567890123456789012345678901", NULL },
    { "another multipart",      "multipart/mixed; boundary=B",                 NULL },
    { "JSON",                   "application/json; boundary=B",                NULL },
    { "a quote without end",    "multipart/form-data; boundary=\"B",           NULL },
};
/* clang-format on */

static enum http_parse run(const char *body, size_t step, struct story *story, struct http_multipart *multipart)
{
    begin(multipart, story, "B", &wide);
    return feed(multipart, body, strlen(body), step);
}

static void test_fine_bodies(void **state)
{
    struct http_multipart multipart;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(fine); i++) {
        for (size_t step = 1; step < strlen(fine[i].body) + 2; step++) {
            struct story story = {0};

            if (run(fine[i].body, step, &story, &multipart) != HTTP_PARSE_DONE)
                fail_msg("%s, in pieces of %zu: %s", fine[i].name, step, multipart.detail);
            if (strcmp(buf_text(&story.text), fine[i].story) != 0)
                fail_msg("%s, in pieces of %zu: %s", fine[i].name, step, buf_text(&story.text));
            buf_deinit(&story.text);
        }
    }
}

static void test_bad_bodies(void **state)
{
    struct http_multipart multipart;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        for (size_t step = 1; step < strlen(bad[i].body) + 2; step++) {
            struct story story = {0};

            if (run(bad[i].body, step, &story, &multipart) != HTTP_PARSE_FAILED)
                fail_msg("%s is accepted", bad[i].name);
            assert_int_equal(multipart.error, HTTP_MULTIPART_MALFORMED);
            if (!strstr(multipart.detail, bad[i].detail))
                fail_msg("%s, in pieces of %zu: %s", bad[i].name, step, multipart.detail);
            buf_deinit(&story.text);
        }
    }
}

static void test_boundaries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        char boundary[HTTP_BOUNDARY_SIZE] = "";
        struct http_text type = {types[i].type, strlen(types[i].type)};
        bool found = http_multipart_boundary(type, boundary);

        if (found != !!types[i].boundary || (found && strcmp(boundary, types[i].boundary) != 0))
            fail_msg("%s: %s", types[i].name, boundary);
    }
    assert_false(http_multipart_is_form((struct http_text){0}));
}

/* -- limits */

static void expect_error(const struct buf *body, const struct http_multipart_limits *limits, int error,
                         const char *detail)
{
    struct http_multipart multipart;
    struct story story = {0};

    begin(&multipart, &story, "B", limits);
    if (error == NONE) {
        assert_int_equal(feed(&multipart, body->data, body->len, 7), HTTP_PARSE_DONE);
    } else {
        assert_int_equal(feed(&multipart, body->data, body->len, 7), HTTP_PARSE_FAILED);
        assert_int_equal(multipart.error, error);
        assert_true(!detail || strstr(multipart.detail, detail));
    }
    buf_deinit(&story.text);
}

static void fill(struct buf *body, char c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_add_char(body, c);
}

static void test_number_of_parts_is_limited(void **state)
{
    struct buf body;

    (void)state;
    for (int parts = 20; parts <= 21; parts++) {
        buf_init(&body, STORY_MAX);
        for (int i = 0; i < parts; i++)
            buf_add_text(&body, PART("a", ""));
        buf_add_text(&body, END);
        expect_error(&body, &wide, parts == 20 ? NONE : HTTP_MULTIPART_MALFORMED, "too many parts");
        buf_deinit(&body);
    }
}

static void test_head_of_a_part_is_limited(void **state)
{
    static const char begin_head[] = "Content-Disposition: form-data; name=a\r\nX: ";
    size_t room = HTTP_MULTIPART_HEAD_MAX - strlen(begin_head) - strlen("\r\n\r\n");
    struct buf body;

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        buf_init(&body, STORY_MAX);
        buf_addf(&body, "--B\r\n%s", begin_head);
        fill(&body, 'x', room + more);
        buf_add_text(&body, "\r\n\r\n\r\n--B--");
        expect_error(&body, &wide, more ? HTTP_MULTIPART_MALFORMED : NONE, "too large");
        buf_deinit(&body);
    }
}

static void test_name_is_limited(void **state)
{
    struct buf body;

    (void)state;
    for (size_t len = HTTP_MULTIPART_NAME_MAX; len <= HTTP_MULTIPART_NAME_MAX + 1; len++) {
        buf_init(&body, STORY_MAX);
        buf_add_text(&body, "--B\r\nContent-Disposition: form-data; name=");
        fill(&body, 'n', len);
        buf_add_text(&body, "\r\n\r\n\r\n--B--");
        expect_error(&body, &wide, len > HTTP_MULTIPART_NAME_MAX ? HTTP_MULTIPART_MALFORMED : NONE, "too long");
        buf_deinit(&body);
    }
}

static void test_bytes_outside_of_parts_are_limited(void **state)
{
    struct buf body;

    (void)state;
    for (int where = 0; where < 3; where++) {
        buf_init(&body, STORY_MAX);
        fill(&body, 'x', where == 0 ? 5000 : 0);
        buf_addf(&body, "\r\n%s" END, PART("a", "1"));
        fill(&body, ' ', where == 1 ? 5000 : 0);
        buf_add_text(&body, "\r\n");
        fill(&body, '\n', where == 2 ? 5000 : 0);
        expect_error(&body, &wide, HTTP_MULTIPART_MALFORMED, "outside of its parts");
        buf_deinit(&body);
    }
}

static void test_total_is_limited(void **state)
{
    struct http_multipart_limits limits = {.parts_max = 1};
    struct buf body;

    (void)state;
    buf_init(&body, STORY_MAX);
    buf_add_text(&body, PART("a", "1") END "\r\n");
    limits.total_max = (int64_t)body.len;
    expect_error(&body, &limits, NONE, NULL);
    limits.total_max--;
    expect_error(&body, &limits, HTTP_MULTIPART_TOO_LARGE, NULL);
    buf_deinit(&body);
}

/* The handler's refusal ends the parser for good, without a problem of its own. */
static void test_handler_can_stop(void **state)
{
    static const char body[] = PART("a", "1") PART("b", "2") PART("c", "3") END;

    (void)state;
    for (int in_content = 0; in_content < 2; in_content++) {
        struct story story = {.stop_at = "b", .stop_in_content = in_content};
        struct http_multipart multipart;

        assert_int_equal(run(body, sizeof(body), &story, &multipart), HTTP_PARSE_FAILED);
        assert_int_equal(multipart.error, HTTP_MULTIPART_STOPPED);
        assert_string_equal(buf_text(&story.text), in_content ? "(a)1.(b)2" : "(a)1.(b)");
        assert_int_equal(http_multipart_run(&multipart, "x", 1), HTTP_PARSE_FAILED);
        assert_int_equal(http_multipart_finish(&multipart), HTTP_PARSE_FAILED);
        assert_string_equal(buf_text(&story.text), in_content ? "(a)1.(b)2" : "(a)1.(b)");
        buf_deinit(&story.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_forms),
        cmocka_unit_test(test_fine_bodies),
        cmocka_unit_test(test_bad_bodies),
        cmocka_unit_test(test_boundaries),
        cmocka_unit_test(test_number_of_parts_is_limited),
        cmocka_unit_test(test_head_of_a_part_is_limited),
        cmocka_unit_test(test_name_is_limited),
        cmocka_unit_test(test_bytes_outside_of_parts_are_limited),
        cmocka_unit_test(test_total_is_limited),
        cmocka_unit_test(test_handler_can_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
