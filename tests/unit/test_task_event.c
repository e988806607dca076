#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/task_event.h"

static void test_types(void **state)
{
    (void)state;
    assert_int_equal(EVENT_TYPE_COUNT, 4);
    assert_string_equal(task_event_type_name(EVENT_START), "start");
    assert_string_equal(task_event_type_name(EVENT_PROCESS), "process");
    assert_string_equal(task_event_type_name(EVENT_DONE), "done");
    assert_string_equal(task_event_type_name(EVENT_ERROR), "error");
    assert_false(task_event_is_final(EVENT_START));
    assert_false(task_event_is_final(EVENT_PROCESS));
    assert_true(task_event_is_final(EVENT_DONE));
    assert_true(task_event_is_final(EVENT_ERROR));
}

#define BYTES(text) text, sizeof(text) - 1
#define BAD         0, EVENT_TYPE_COUNT, ""
/* clang-format off */
static const struct { const char *name, *text; size_t len; int64_t n; enum task_event_type type; const char *json; } elements[] = {
    { "the first event",                       BYTES("1 start {\"event\":\"start\",\"data\":{}}"), 1, EVENT_START, "{\"event\":\"start\",\"data\":{}}" },
    { "a later one",                           BYTES("12 process {}"),            12, EVENT_PROCESS, "{}" },
    { "the last one",                          BYTES("3 done {\"a\":\"图\"}"),    3,  EVENT_DONE,    "{\"a\":\"图\"}" },
    { "an error",                              BYTES("3 error {}"),               3,  EVENT_ERROR,   "{}" },
    { "the largest number",                    BYTES("999999999999999 done {}"),  999999999999999, EVENT_DONE, "{}" },
    { "spaces inside the JSON",                BYTES("3 error { \"a\" : 1 }"),    3,  EVENT_ERROR,   "{ \"a\" : 1 }" },
    { "empty",                                 BYTES(""),                         BAD },
    { "a number alone",                        BYTES("1"),                        BAD },
    { "a number and a space",                  BYTES("1 "),                       BAD },
    { "no JSON",                               BYTES("1 start"),                  BAD },
    { "no JSON after the space",               BYTES("1 start "),                 BAD },
    { "number zero",                           BYTES("0 start {}"),               BAD },
    { "a leading zero",                        BYTES("01 start {}"),              BAD },
    { "a sign",                                BYTES("+1 start {}"),              BAD },
    { "a negative number",                     BYTES("-1 start {}"),              BAD },
    { "a number with too many digits",         BYTES("1000000000000000 start {}"), BAD },
    { "no number",                             BYTES("start {}"),                 BAD },
    { "an unknown type",                       BYTES("1 begin {}"),               BAD },
    { "a type that only begins like one",      BYTES("1 starts {}"),              BAD },
    { "a type in capitals",                    BYTES("1 START {}"),               BAD },
    { "two spaces",                            BYTES("1  start {}"),              BAD },
    { "an array",                              BYTES("1 start []"),               BAD },
    { "truncated JSON",                        BYTES("1 start {\"a\":1"),         BAD },
    { "one brace",                             BYTES("1 start {"),                BAD },
    { "a line end after it",                   BYTES("1 start {}\n"),             BAD },
    { "a line end inside the JSON",            BYTES("1 start {\n}"),             BAD },
    { "a carriage return inside the JSON",     BYTES("1 start {\r}"),             BAD },
};
/* clang-format on */

static void test_elements(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(elements); i++) {
        struct task_event event = {.n = -1};
        int err = task_event_parse(elements[i].text, elements[i].len, &event);

        print_message("  %s\n", elements[i].name);
        if (!elements[i].n) {
            assert_int_equal(err, ERR_SYNTAX);
            assert_int_equal(event.n, -1);
            continue;
        }
        assert_int_equal(err, 0);
        assert_int_equal(event.n, elements[i].n);
        assert_int_equal(event.type, elements[i].type);
        assert_int_equal(event.json_len, strlen(elements[i].json));
        assert_memory_equal(event.json, elements[i].json, event.json_len);
    }
}

/* In an exact allocation, so that ASan sees an overrun. */
static void test_truncated_elements_are_refused(void **state)
{
    static const char element[] = "12 process {\"event\":\"process\"}", cursor[] = "1767312245678-";

    (void)state;
    for (size_t len = 0; len < sizeof(element) - 1; len++) {
        struct task_event event;
        char *text = malloc(len ? len : 1);

        memcpy(text, element, len);
        assert_int_equal(task_event_parse(text, len, &event), ERR_SYNTAX);
        free(text);
    }
    for (size_t len = 0; len < sizeof(cursor); len++) {
        struct task_cursor parsed;
        char *text = malloc(len ? len : 1);

        memcpy(text, cursor, len);
        assert_int_equal(task_cursor_parse(text, len, &parsed), ERR_SYNTAX);
        free(text);
    }
}

static void test_the_frame(void **state)
{
    struct task_event event;
    struct buf out = {.max = 1000};

    (void)state;
    assert_int_equal(task_event_parse(BYTES("7 process {\"a\":\"图\"}"), &event), 0);
    task_event_write_frame(&out, 1767312245678, &event);
    assert_string_equal(buf_text(&out), "id: 1767312245678-7\nevent: process\ndata: {\"a\":\"图\"}\n\n");
    buf_deinit(&out);
}

/* clang-format off */
static const struct { const char *name, *element; int stage; } stages[] = {
    { "calling",                          "2 process {\"data\":{\"stage\":\"calling\",\"attempt\":1}}",  STAGE_CALLING },
    { "an image",                         "2 process {\"data\":{\"stage\":\"image\",\"index\":0}}",      STAGE_IMAGE },
    { "an image that failed",             "2 process {\"data\":{\"stage\":\"image_failed\"}}",           STAGE_IMAGE_FAILED },
    { "a retry",                          "2 process {\"data\":{\"stage\":\"retrying\"}}",               STAGE_RETRYING },
    { "requeued",                         "2 process {\"data\":{\"stage\":\"requeued\"}}",               STAGE_REQUEUED },
    { "white space around it",            "2 process {\"stage\" :  \"calling\"}",                         STAGE_CALLING },
    { "a text of that name before it",    "2 process {\"message\":\"stage\",\"stage\":\"image\"}",       STAGE_IMAGE },
    { "a text that quotes it",            "2 process {\"message\":\"\\\"stage\\\":\\\"image\\\"\"}",     -1 },
    { "an unknown stage",                 "2 process {\"stage\":\"thinking\"}",                           -1 },
    { "the beginning of a stage",         "2 process {\"stage\":\"call\"}",                               -1 },
    { "a stage that is longer",           "2 process {\"stage\":\"calling_back\"}",                       -1 },
    { "a stage that is a number",         "2 process {\"stage\":1}",                                      -1 },
    { "no stage",                         "2 process {\"data\":{}}",                                      -1 },
    { "a stage that does not end",        "2 process {\"stage\":\"calling}",                              -1 },
    { "a name at the end",                "2 process {\"stage\"}",                                         -1 },
    { "an event of another type",         "2 done {\"stage\":\"calling\"}",                               -1 },
};
/* clang-format on */

static void test_the_stage(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(stages); i++) {
        struct task_event event;
        enum task_stage stage = STAGE_COUNT;
        size_t len = strlen(stages[i].element);
        char *element = malloc(len); /* exact, without a NUL: ASan sees an overrun */

        print_message("  %s\n", stages[i].name);
        assert_non_null(element);
        memcpy(element, stages[i].element, len);
        assert_int_equal(task_event_parse(element, len, &event), 0);
        assert_int_equal(task_event_stage(&event, &stage), stages[i].stage < 0 ? ERR_NOT_FOUND : 0);
        assert_int_equal(stage, stages[i].stage < 0 ? STAGE_COUNT : (enum task_stage)stages[i].stage);
        free(element);
    }
}

/* clang-format off */
static const struct { const char *name, *text; size_t len; int64_t epoch, n; } cursors[] = {
    { "a position in a log",                BYTES("1767312245678-3"),                      1767312245678, 3 },
    { "before the first event",             BYTES("1767312245678-0"),                      1767312245678, 0 },
    { "the largest numbers",                BYTES("999999999999999-999999999999999"),      999999999999999, 999999999999999 },
    { "empty",                              BYTES(""),                                     -1, 0 },
    { "one number",                         BYTES("17"),                                   -1, 0 },
    { "a dash alone",                       BYTES("-"),                                    -1, 0 },
    { "no epoch",                           BYTES("-3"),                                   -1, 0 },
    { "no number",                          BYTES("17-"),                                  -1, 0 },
    { "a leading zero in the epoch",        BYTES("017-3"),                                -1, 0 },
    { "a leading zero in the number",       BYTES("17-03"),                                -1, 0 },
    { "too many digits in the epoch",       BYTES("1000000000000000-3"),                   -1, 0 },
    { "too many digits in the number",      BYTES("17-1000000000000000"),                  -1, 0 },
    { "a sign",                             BYTES("17-+3"),                                -1, 0 },
    { "two dashes",                         BYTES("17--3"),                                -1, 0 },
    { "three numbers",                      BYTES("17-3-1"),                               -1, 0 },
    { "a space",                            BYTES("17-3 "),                                -1, 0 },
    { "a space in front",                   BYTES(" 17-3"),                                -1, 0 },
    { "hex",                                BYTES("0x11-3"),                               -1, 0 },
    { "a NUL byte after it",                BYTES("17-3\0"),                               -1, 0 },
    { "a NUL byte instead of the dash",     BYTES("17\0003"),                              -1, 0 },
};
/* clang-format on */

static void test_cursors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cursors); i++) {
        struct task_cursor cursor = {-2, -2};
        int err = task_cursor_parse(cursors[i].text, cursors[i].len, &cursor);

        print_message("  %s\n", cursors[i].name);
        assert_int_equal(err, cursors[i].epoch < 0 ? ERR_SYNTAX : 0);
        assert_int_equal(cursor.epoch, err ? -2 : cursors[i].epoch);
        assert_int_equal(cursor.n, err ? -2 : cursors[i].n);
    }
}

/* clang-format off */
static const struct { const char *name; struct task_progress event; const char *want; } processes[] = {
    { "ARK is called",
      { STAGE_CALLING, "t1", .attempt = 2 },
      "{\"task_id\":\"t1\",\"message\":\"正在调用ARK模型生成图像...\",\"stage\":\"calling\",\"attempt\":2}" },
    { "an image came",
      { STAGE_IMAGE, "t1", .index = 0, .url = "https://x/y?a=1&b=2", .size = "2048x2048" },
      "{\"task_id\":\"t1\",\"message\":\"第1张图像已生成\",\"stage\":\"image\",\"index\":0,"
      "\"image\":{\"url\":\"https://x/y?a=1&b=2\",\"size\":\"2048x2048\"}}" },
    { "an image came without a size",
      { STAGE_IMAGE, "t1", .index = 14, .url = "https://x/" },
      "{\"task_id\":\"t1\",\"message\":\"第15张图像已生成\",\"stage\":\"image\",\"index\":14,\"image\":{\"url\":\"https://x/\"}}" },
    { "an image failed",
      { STAGE_IMAGE_FAILED, "t1", .index = 1, .code = "ark_content_refused", .message = "ARK refused the content" },
      "{\"task_id\":\"t1\",\"message\":\"第2张图像生成失败\",\"stage\":\"image_failed\",\"index\":1,"
      "\"code\":\"ark_content_refused\",\"error\":\"ARK refused the content\"}" },
    { "a retry follows",    
      { STAGE_RETRYING, "t1", .attempt = 1, .delay_ms = 1500, .code = "ark_overloaded", .message = "busy" },
      "{\"task_id\":\"t1\",\"message\":\"ARK暂时不可用，稍后重试...\",\"stage\":\"retrying\",\"attempt\":1,\"delay_ms\":1500,"
      "\"code\":\"ark_overloaded\",\"error\":\"busy\"}" },
    { "handed back",
      { STAGE_REQUEUED, .task_id = "t1" },
      "{\"task_id\":\"t1\",\"message\":\"任务已交还，重新排队...\",\"stage\":\"requeued\"}" },
};
/* clang-format on */

static void test_process_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(processes); i++) {
        struct buf out = {.max = 1000};
        json_t *root;

        print_message("  %s\n", processes[i].name);
        task_progress_write(&out, &processes[i].event);
        assert_string_equal(buf_text(&out), processes[i].want);
        root = json_loads(buf_text(&out), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        json_decref(root);
        buf_deinit(&out);
    }
}

/* clang-format off */
static const struct { const char *name, *text, *reads_as; } hostile[] = {
    { "a quote that would end the string",       "a\",\"stage\":\"done",        "a\",\"stage\":\"done" },
    { "a line end that would end the frame",     "a\n\nevent: done\ndata: {}",  "a\n\nevent: done\ndata: {}" },
    { "a carriage return",                       "a\rb",                        "a\rb" },
    { "a backslash at the end",                  "a\\",                         "a\\" },
    { "control bytes",                           "\x01\x02\x1b\x7f",            "\x01\x02\x1b\x7f" },
    { "invalid UTF-8",                           "a\xff\xe5\x9b",               "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    { "a Unicode line separator",                "a\xe2\x80\xa8" "b",           "a\xe2\x80\xa8" "b" },
    { "a format directive",                      "%s%n%d",                      "%s%n%d" },
    { "the slot's own syntax",                   "}\nfailed {",                 "}\nfailed {" },
    { "a script",                                "</script>",                   "</script>" },
};
/* clang-format on */

static json_t *read_back(const struct buf *out)
{
    json_t *root;

    assert_null(strpbrk(buf_text(out), "\r\n"));
    root = json_loads(buf_text(out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    return root;
}

static const char *text_of(const json_t *root, const char *key)
{
    return json_string_value(json_object_get(root, key));
}

static void check_hostile(enum task_stage stage, const char *text, const char *reads_as)
{
    struct task_progress event = {stage, .task_id = text, .url = text, .size = text, .code = text, .message = text};
    bool is_image = stage == STAGE_IMAGE, fails = stage == STAGE_IMAGE_FAILED || stage == STAGE_RETRYING;
    struct buf out = {.max = 4000};
    json_t *root, *image;

    task_progress_write(&out, &event);
    root = read_back(&out);
    image = json_object_get(root, "image");
    assert_string_equal(text_of(root, "task_id"), reads_as);
    if (fails)
        assert_string_equal(text_of(root, "code"), reads_as);
    if (fails)
        assert_string_equal(text_of(root, "error"), reads_as);
    if (is_image)
        assert_string_equal(text_of(image, "url"), reads_as);
    if (is_image)
        assert_string_equal(text_of(image, "size"), reads_as);
    json_decref(root);

    buf_deinit(&out);
}

static void test_hostile_texts_stay_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(hostile); i++) {
        print_message("  %s\n", hostile[i].name);
        for (int stage = 0; stage < STAGE_COUNT; stage++)
            check_hostile((enum task_stage)stage, hostile[i].text, hostile[i].reads_as);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_truncated_elements_are_refused),
        cmocka_unit_test(test_the_frame),
        cmocka_unit_test(test_the_stage),
        cmocka_unit_test(test_cursors),
        cmocka_unit_test(test_process_events),
        cmocka_unit_test(test_hostile_texts_stay_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
