#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/base/sse.h"

enum { STREAM_MAX = 4096 };

/* Events as text, one per line: "event|id|data", line ends of the data as "\n". */
struct story {
    struct buf text;
    int stop_after; /* 0: never */
    int count;
};

static bool on_event(const struct sse_event *event, void *arg)
{
    struct story *story = arg;

    buf_addf(&story->text, "%s|%s|", event->event, event->id);
    assert_int_equal(strlen(event->data), event->data_len);
    for (const char *c = event->data; *c; c++) {
        if (*c == '\n')
            buf_add_text(&story->text, "\\n");
        else
            buf_add_char(&story->text, *c);
    }
    buf_add_char(&story->text, ' ');
    return ++story->count != story->stop_after;
}

/* Reads an exact copy without a NUL, so that ASan sees an overrun. */
static int feed(struct sse_reader *reader, const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    int err;

    memcpy(copy, bytes, len);
    err = sse_reader_feed(reader, copy, len);
    free(copy);
    return err;
}

#define BYTES(text) text, sizeof(text) - 1
#define BOM         "\xef\xbb\xbf"
/* clang-format off */
static const struct { const char *name, *stream; size_t len; const char *want; } cases[] = {
    { "nothing",                                        BYTES(""),                                          "" },
    { "an event of one line",                           BYTES("data: x\n\n"),                               "message||x " },
    { "an event with all its fields",                   BYTES("id: 7-1\nevent: start\ndata: {}\n\n"),       "start|7-1|{} " },
    { "CRLF",                                           BYTES("id: 1\r\nevent: e\r\ndata: x\r\n\r\n"),      "e|1|x " },
    { "CR alone",                                       BYTES("id: 1\revent: e\rdata: x\r\r"),              "e|1|x " },
    { "every kind of line end",                         BYTES("id: 1\revent: e\r\ndata: x\n\rdata: y\r\n\n"), "e|1|x message|1|y " },
    { "CRLF is one line end, LF CR are two",            BYTES("data: x\n\rdata: y\n\r\n"),                  "message||x message||y " },
    { "several data lines",                             BYTES("data: a\ndata: b\ndata\ndata: c\n\n"),       "message||a\\nb\\n\\nc " },
    { "empty data is an event",                         BYTES("data\n\n"),                                  "message|| " },
    { "empty data after a colon too",                   BYTES("data:\n\n"),                                 "message|| " },
    { "two empty data lines make one line end",         BYTES("data\ndata\n\n"),                            "message||\\n " },
    { "no data is no event",                            BYTES("event: e\n\ndata: x\n\n"),                   "message||x " },
    { "an event name applies to one event",             BYTES("event: e\ndata: 1\n\ndata: 2\n\n"),          "e||1 message||2 " },
    { "an empty event name is the default",             BYTES("event: e\nevent\ndata: 1\n\n"),              "message||1 " },
    { "the last event name wins",                       BYTES("event: e\nevent: f\ndata: 1\n\n"),           "f||1 " },
    { "an id applies until the next one",               BYTES("id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n"), "message|1|a message|1|b message|2|c " },
    { "an id without data applies to the next event",   BYTES("id: 1\n\ndata: a\n\n"),                      "message|1|a " },
    { "an empty id removes the id",                     BYTES("id: 1\ndata: a\n\nid\ndata: b\n\n"),         "message|1|a message||b " },
    { "an id with a NUL byte is ignored",               BYTES("id: 1\nid: 2\0\ndata: a\n\n"),               "message|1|a " },
    { "one space is removed, not two",                  BYTES("data:  x \n\n"),                             "message|| x  " },
    { "no space is fine",                               BYTES("data:x\nid:1\n\n"),                          "message|1|x " },
    { "a tab is not removed",                           BYTES("data:\tx\n\n"),                              "message||\tx " },
    { "colons in a value",                              BYTES("data: a:b: c\n\n"),                          "message||a:b: c " },
    { "a comment",                                      BYTES(": hello\ndata: x\n:\n\n"),                   "message||x " },
    { "a heartbeat between events",                     BYTES(": ping\n\ndata: x\n\n: ping\n\n"),           "message||x " },
    { "unknown fields",                                 BYTES("retry: 5\nfoo: bar\nfoo\ndata: x\n\n"),      "message||x " },
    { "names are case-sensitive",                       BYTES("Data: x\nDATA: y\n\n"),                      "" },
    { "a name with a space is another name",            BYTES("data : x\n\n"),                              "" },
    { "a name that only begins like one",               BYTES("datax: x\nid2: y\nevents: z\n\n"),           "" },
    { "empty lines between events",                     BYTES("\n\n\ndata: x\n\n\n\n"),                     "message||x " },
    { "an event cut by the end of the stream",          BYTES("data: x\n\ndata: y\n"),                      "message||x " },
    { "a line cut by the end of the stream",            BYTES("data: x\n\ndata: y"),                        "message||x " },
    { "a BOM at the start",                             BYTES(BOM "data: x\n\n"),                           "message||x " },
    { "a BOM before an empty line",                     BYTES(BOM "\ndata: x\n\n"),                         "message||x " },
    { "a BOM later is part of a name",                  BYTES("data: x\n" BOM "data: y\n\n"),               "message||x " },
    { "a second BOM is part of a name",                 BYTES(BOM BOM "data: x\n\n"),                       "" },
    { "half a BOM",                                     BYTES("\xef\xbb" "data: x\n\n"),                    "" },
    { "UTF-8 of every length",                          BYTES("data: aé图😀\n\n"),                           "message||aé图😀 " },
    { "invalid UTF-8 is passed on",                     BYTES("data: \xff\n\n"),                            "message||\xff " },
};
/* clang-format on */

static void read_in_pieces(size_t i, size_t first, size_t second)
{
    struct story story = {.text = {.max = STREAM_MAX}};
    struct sse_reader reader;

    sse_reader_init(&reader, STREAM_MAX, on_event, &story);
    assert_int_equal(feed(&reader, cases[i].stream, first), 0);
    assert_int_equal(feed(&reader, cases[i].stream + first, second - first), 0);
    assert_int_equal(feed(&reader, cases[i].stream + second, cases[i].len - second), 0);
    assert_string_equal(buf_text(&story.text), cases[i].want);
    sse_reader_deinit(&reader);
    buf_deinit(&story.text);
}

static void test_streams_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("  %s\n", cases[i].name);
        for (size_t first = 0; first <= cases[i].len; first++)
            for (size_t second = first; second <= cases[i].len; second++)
                read_in_pieces(i, first, second);
    }
}

static void test_streams_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct story story = {.text = {.max = STREAM_MAX}};
        struct sse_reader reader;

        sse_reader_init(&reader, STREAM_MAX, on_event, &story);
        for (size_t at = 0; at < cases[i].len; at++)
            assert_int_equal(feed(&reader, cases[i].stream + at, 1), 0);
        assert_string_equal(buf_text(&story.text), cases[i].want);
        sse_reader_deinit(&reader);
        buf_deinit(&story.text);
    }
}

static void test_data_may_hold_nul_bytes(void **state)
{
    struct sse_reader reader;

    (void)state;
    sse_reader_init(&reader, 100, NULL, NULL);
    assert_int_equal(sse_reader_feed(&reader, "data: a\0b\n", 10), 0);
    assert_int_equal(reader.data.len, 3);
    assert_memory_equal(reader.data.data, "a\0b", 3);
    sse_reader_deinit(&reader);
}

/* clang-format off */
static const struct { const char *name, *stream; int err; const char *want; } limits[] = {
    { "the longest line",                            "data: 34567890\n\n",                      0,            "message||34567890 " },
    { "a line that is a byte too long",              "data: 345678901\n\n",                     ERR_TOO_LONG, "" },
    { "a line that never ends",                      "data: 345678901",                         ERR_TOO_LONG, "" },
    { "a comment that is too long",                  ":234567890123456\n\n",                    ERR_TOO_LONG, "" },
    { "the longest data, in several lines",          "data:234567\ndata:1234567\n\n",           0,            "message||234567\\n1234567 " },
    { "data that grows too long by its lines",       "data:234567\ndata:12345678\n\n",          ERR_TOO_LONG, "" },
    { "data that grows too long by empty lines",     "data:234567890\ndata\ndata\ndata\ndata\ndata\ndata\n\n", ERR_TOO_LONG, "" },
    { "many events, each within the limit",          "data:12345678\n\ndata:12345678\n\n",      0,            "message||12345678 message||12345678 " },
    { "events before a line that is too long are reported", "data: x\n\ndata: 345678901\n\n",          ERR_TOO_LONG, "message||x " },
};
/* clang-format on */

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        print_message("  %s\n", limits[i].name);
        for (size_t first = 0; first <= strlen(limits[i].stream); first++) {
            struct story story = {.text = {.max = STREAM_MAX}};
            struct sse_reader reader;
            int err;

            sse_reader_init(&reader, 14, on_event, &story);
            err = feed(&reader, limits[i].stream, first);
            if (!err)
                err = feed(&reader, limits[i].stream + first, strlen(limits[i].stream) - first);
            assert_int_equal(err, limits[i].err);
            assert_string_equal(buf_text(&story.text), limits[i].want);
            assert_int_equal(feed(&reader, "\n", 1), limits[i].err); /* the error is kept */
            sse_reader_deinit(&reader);
            buf_deinit(&story.text);
        }
    }
}

static void test_the_callback_can_stop_the_reader(void **state)
{
    static const char stream[] = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
    struct story story = {.text = {.max = STREAM_MAX}, .stop_after = 2};
    struct sse_reader reader;

    (void)state;
    sse_reader_init(&reader, 100, on_event, &story);
    assert_int_equal(sse_reader_feed(&reader, stream, sizeof(stream) - 1), 0);
    assert_string_equal(buf_text(&story.text), "message||1 message||2 ");
    sse_reader_deinit(&reader);
    buf_deinit(&story.text);
}

static bool free_reader(const struct sse_event *event, void *arg)
{
    struct sse_reader **reader = arg;

    assert_string_equal(event->data, "1");
    sse_reader_deinit(*reader);
    free(*reader);
    *reader = NULL;
    return false;
}

static void test_the_callback_may_free_the_reader_when_it_stops(void **state)
{
    struct sse_reader *reader = malloc(sizeof(*reader));

    (void)state;
    sse_reader_init(reader, 100, free_reader, &reader);
    assert_int_equal(sse_reader_feed(reader, "data: 1\n\ndata: 2\n\n", 18), 0);
    assert_null(reader);
}

/* -- the writer */

static void test_frames(void **state)
{
    struct buf out = {.max = 1000};

    (void)state;
    sse_write_retry(&out, 2500);
    sse_write_event(&out, "17-1", "start", "{\"a\":1}", 7);
    sse_write_comment(&out, "ping");
    sse_write_event(&out, NULL, NULL, "", 0);
    sse_write_event(&out, NULL, "process", "{}xx", 2);
    assert_int_equal(buf_error(&out), 0);
    assert_string_equal(buf_text(&out), "retry: 2500\n\n"
                                        "id: 17-1\nevent: start\ndata: {\"a\":1}\n\n"
                                        ": ping\n\n"
                                        "data: \n\n"
                                        "event: process\ndata: {}\n\n");
    buf_deinit(&out);
}

static void test_written_frames_are_read_back(void **state)
{
    struct story story = {.text = {.max = STREAM_MAX}};
    struct buf out = {.max = 1000};
    struct sse_reader reader;

    (void)state;
    sse_write_retry(&out, 2500);
    sse_write_event(&out, "17-1", "start", " 图像: x", strlen(" 图像: x"));
    sse_write_comment(&out, "ping");
    sse_write_event(&out, "17-2", NULL, "", 0);
    sse_reader_init(&reader, 100, on_event, &story);
    assert_int_equal(sse_reader_feed(&reader, out.data, out.len), 0);
    assert_string_equal(buf_text(&story.text), "start|17-1| 图像: x message|17-2| ");
    sse_reader_deinit(&reader);
    buf_deinit(&story.text);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_cut_anywhere),
        cmocka_unit_test(test_streams_byte_by_byte),
        cmocka_unit_test(test_data_may_hold_nul_bytes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_the_callback_can_stop_the_reader),
        cmocka_unit_test(test_the_callback_may_free_the_reader_when_it_stops),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_written_frames_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
