/* The manifest beside the raw requests names the status that each must get. Whatever the parser lets pass is for the routes
 * to answer, so those statuses count as "accepted" here; tests of the server check them in full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/request.h"

enum { FILE_MAX = 16 * 1024, NAME_MAX_LEN = 80, MORE = -1 };

static const struct http_limits limits = {.target_max = 4096, .head_max = 8192, .body_max = 262144};

struct outcome {
    int status; /* 0: accepted; MORE: the head is not whole */
    size_t head_len;
    const char *detail;
};

struct feed {
    struct http_parser parser;
    struct outcome outcome;
};

static void feed_begin(struct feed *feed)
{
    http_parser_init(&feed->parser, &limits);
    feed->outcome = (struct outcome){.status = MORE};
}

/* The bytes lie in memory of their own, at another place each time, with nothing behind them. */
static void feed_to(struct feed *feed, const char *bytes, size_t len)
{
    char *copy;

    if (feed->outcome.status != MORE)
        return;
    copy = malloc(len + !len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    switch (http_parser_run(&feed->parser, copy, len, &feed->outcome.head_len)) {
    case HTTP_PARSE_MORE:
        break;
    case HTTP_PARSE_DONE:
        feed->outcome.status = 0;
        break;
    case HTTP_PARSE_FAILED:
        feed->outcome.status = problem_status(feed->parser.problem);
        feed->outcome.detail = feed->parser.detail;
        break;
    }
    free(copy);
}

static struct outcome parse_whole(const char *bytes, size_t len)
{
    struct feed feed;

    feed_begin(&feed);
    feed_to(&feed, bytes, len);
    return feed.outcome;
}

static struct outcome parse_cut(const char *bytes, size_t len, size_t at)
{
    struct feed feed;

    feed_begin(&feed);
    feed_to(&feed, bytes, at);
    feed_to(&feed, bytes, len);
    return feed.outcome;
}

static struct outcome parse_bytewise(const char *bytes, size_t len)
{
    struct feed feed;

    feed_begin(&feed);
    for (size_t i = 1; i <= len && feed.outcome.status == MORE; i++)
        feed_to(&feed, bytes, i);
    return feed.outcome;
}

static void expect_same(const char *name, const char *how, size_t at, struct outcome a, struct outcome b)
{
    if (a.status == b.status && a.head_len == b.head_len && a.detail == b.detail)
        return;
    fail_msg("%s: status %d when whole, %d %s (%zu)", name, a.status, b.status, how, at);
}

static size_t load(const char *name, char *out)
{
    char path[512];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "%s/http/%s.http", TEST_DATA, name);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("no file %s", path);
    len = fread(out, 1, FILE_MAX, file);
    (void)fclose(file);
    assert_true(len > 0 && len < FILE_MAX);
    return len;
}

static int parser_status(int answered)
{
    return answered < 300 || answered == 404 || answered == 405 ? 0 : answered;
}

static void check_row(const char *name, int answered)
{
    static char bytes[FILE_MAX];
    size_t len = load(name, bytes);
    struct outcome whole = parse_whole(bytes, len);

    if (whole.status != parser_status(answered))
        fail_msg("%s: status %d instead of %d (%s)", name, whole.status, answered, whole.detail ? whole.detail : "");
    for (size_t at = 0; at < len; at++)
        expect_same(name, "when cut", at, whole, parse_cut(bytes, len, at));
    expect_same(name, "byte by byte", 0, whole, parse_bytewise(bytes, len));
}

static void test_every_raw_request_gets_its_status_however_it_is_cut(void **state)
{
    char line[256], name[NAME_MAX_LEN + 1];
    FILE *manifest = fopen(TEST_DATA "/http/manifest.txt", "r");
    int rows = 0, status;

    (void)state;
    assert_non_null(manifest);
    while (fgets(line, sizeof(line), manifest)) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%80s %d", name, &status), 2);
        check_row(name, status);
        rows++;
    }
    (void)fclose(manifest);
    assert_true(rows > 100);
}

static void test_every_single_byte_in_a_header_value_is_judged_the_same_way_each_time(void **state)
{
    static const char before[] = "GET / HTTP/1.1\r\nHost: a\r\nA: x", after[] = "y\r\n\r\n";
    char bytes[sizeof(before) + sizeof(after)];

    (void)state;
    for (int c = 0; c < 256; c++) {
        size_t len = (size_t)snprintf(bytes, sizeof(bytes), "%s?%s", before, after);
        bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);

        bytes[sizeof(before) - 1] = (char)c;
        assert_int_equal(parse_whole(bytes, len).status, allowed ? 0 : 400);
        assert_int_equal(parse_bytewise(bytes, len).status, allowed ? 0 : 400);
    }
}

static void test_every_single_byte_in_a_target_is_printable_ascii_or_refused(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char bytes[] = "GET /x? HTTP/1.1\r\nHost: a\r\n\r\n";
        bool allowed = c > 0x20 && c < 0x7f && c != '#';

        bytes[6] = (char)c;
        assert_int_equal(parse_whole(bytes, sizeof(bytes) - 1).status, allowed ? 0 : 400);
    }
}

static void test_no_prefix_of_a_request_is_a_request(void **state)
{
    static const char bytes[] = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";

    (void)state;
    for (size_t len = 0; len < sizeof(bytes) - 1; len++)
        assert_int_equal(parse_whole(bytes, len).status, MORE);
    assert_int_equal(parse_whole(bytes, sizeof(bytes) - 1).status, 0);
    assert_int_equal(parse_whole(bytes, sizeof(bytes) - 1).head_len, sizeof(bytes) - 1);
}

static void test_endless_lines_are_refused_once_they_pass_their_limit(void **state)
{
    size_t len = 100 * 1024;
    char *bytes = malloc(len);

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'a', len);
    assert_int_equal(parse_whole(bytes, len).status, 414);
    memcpy(bytes, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(parse_whole(bytes, len).status, 431);
    free(bytes);
}

/* A request that must be accepted; its texts point into `bytes`. */
static struct http_request parse(const char *bytes)
{
    struct http_parser parser;
    struct http_request request;
    size_t head_len = 0;

    http_parser_init(&parser, &limits);
    assert_int_equal(http_parser_run(&parser, bytes, strlen(bytes), &head_len), HTTP_PARSE_DONE);
    http_parser_request(&parser, bytes, &request);
    return request;
}

static void test_a_request_tells_what_was_sent(void **state)
{
    struct http_request request = parse("POST /a/b?c=d&e HTTP/1.1\r\nhOST: x:1\r\nEmpty:\r\nSpaced: \t v w \t\r\n"
                                        "Content-Length: 12\r\nExpect: 100-Continue\r\n\r\n");

    (void)state;
    assert_int_equal(request.method, HTTP_POST);
    assert_int_equal(request.minor, 1);
    assert_true(http_text_is(request.path, "/a/b"));
    assert_true(http_text_is(request.query, "c=d&e"));
    assert_int_equal(request.header_count, 5);
    assert_true(request.has_content_length && request.content_length == 12);
    assert_true(request.keep_alive && request.expect_continue);
    assert_true(http_text_is(http_request_header(&request, "HOST"), "x:1"));
    assert_true(http_text_is(http_request_header(&request, "spaced"), "v w"));
    assert_true(http_text_is(http_request_header(&request, "empty"), ""));
    assert_null(http_request_header(&request, "absent").data);
    assert_false(http_text_is(http_request_header(&request, "absent"), ""));
}

static void test_what_follows_from_the_headers(void **state)
{
    static const struct {
        const char *name, *head;
        bool keep_alive, expect_continue, has_content_length;
    } cases[] = {
        {"1.1 is kept alive",                   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",                                       true,  false, false},
        {"unless it says close",                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",                  false, false, false},
        {"in any case, in a list",              "GET / HTTP/1.1\r\nHost: a\r\nConnection: a, CLOSE ,b\r\n\r\n",            false, false, false},
        {"in any line",                         "GET / HTTP/1.1\r\nHost: a\r\nConnection: a\r\nConnection: close\r\n\r\n", false, false, false},
        {"a longer word is not close",          "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",                 true,  false, false},
        {"1.0 closes",                          "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",                        false, false, false},
        {"1.0 does not know Expect",            "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",    false,
         false,                                                                                                                          true },
        {"Expect without a body means nothing",
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",                                true,  false, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request request = parse(cases[i].head);

        if (request.keep_alive != cases[i].keep_alive || request.expect_continue != cases[i].expect_continue ||
            request.has_content_length != cases[i].has_content_length)
            fail_msg("%s", cases[i].name);
    }
}

static void test_query_parameters_are_decoded_or_absent(void **state)
{
    static const struct {
        const char *name, *query, *want; /* NULL: absent */
    } cases[] = {
        {"no query at all",                   "",                 NULL     },
        {"an empty query",                    "?",                NULL     },
        {"the only one",                      "?id=1-2",          "1-2"    },
        {"an empty value",                    "?id=",             ""       },
        {"a name without a value",            "?id",              NULL     },
        {"the last one",                      "?a=b&id=x",        "x"      },
        {"the first of two",                  "?id=1&id=2",       "1"      },
        {"not the end of another name",       "?aid=1",           NULL     },
        {"not the beginning of another name", "?id2=1",           NULL     },
        {"empty pairs are passed over",       "?&&id=1&",         "1"      },
        {"percent-decoding",                  "?id=%41%2d%7a%7A", "A-zz"   },
        {"a plus stands for itself",          "?id=a+b",          "a+b"    },
        {"a cut escape",                      "?id=%4",           NULL     },
        {"a cut escape before another pair",  "?id=%4&a=b",       NULL     },
        {"a wrong escape",                    "?id=%4g",          NULL     },
        {"a NUL",                             "?id=a%00b",        NULL     },
        {"as long as the room",               "?id=1234567",      "1234567"},
        {"longer than the room",              "?id=12345678",     NULL     },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char head[128], value[8] = "";
        struct http_request request;
        bool found;

        (void)snprintf(head, sizeof(head), "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].query);
        request = parse(head);
        found = http_request_query(&request, "id", value, sizeof(value));
        if (found != !!cases[i].want || (found && strcmp(value, cases[i].want) != 0))
            fail_msg("%s: %s", cases[i].name, found ? value : "absent");
    }
}

static void test_a_header_of_a_head_that_was_refused(void **state)
{
    /* clang-format off */
    static const struct { const char *name, *head, *value; } cases[] = {
        { "nothing has come",                 "",                                              NULL },
        { "a whole head",                     "GET / HTTP/1.1\r\nHost: a\r\nOrigin: x\r\n\r\n", "x"  },
        { "any case, blanks around it",       "GET / HTTP/1.1\r\noRIGIN:\t x \r\n",             "x"  },
        { "after an empty line",              "\r\nGET / HTTP/1.1\r\nOrigin: x\r\n",           "x"  },
        { "after lines that are none",        "GET\r\n:\r\n = \r\nOrigin: x\r\n",              "x"  },
        { "an empty value",                   "GET / HTTP/1.1\r\nOrigin:\r\nOrigin: y\r\n",      ""   },
        { "the first of two",                 "GET / HTTP/1.1\r\nOrigin: x\r\nOrigin: y\r\n",    "x"  },
        { "its line is not whole",            "GET / HTTP/1.1\r\nOrigin: x",                   NULL },
        { "a longer name",                    "GET / HTTP/1.1\r\nOrigins: x\r\n",              NULL },
        { "a space before the colon",         "GET / HTTP/1.1\r\nOrigin : x\r\n",              NULL },
        { "the request line is no header",    "Origin: x\r\nHost: a\r\n",                      NULL },
        { "the body is no head",              "GET / HTTP/1.1\r\n\r\nOrigin: x\r\n",           NULL },
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_text value = http_head_header((struct http_text){cases[i].head, strlen(cases[i].head)}, "Origin");

        print_message("  %s\n", cases[i].name);
        assert_int_equal(value.data != NULL, cases[i].value != NULL);
        if (cases[i].value)
            assert_true(http_text_is(value, cases[i].value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_raw_request_gets_its_status_however_it_is_cut),
        cmocka_unit_test(test_every_single_byte_in_a_header_value_is_judged_the_same_way_each_time),
        cmocka_unit_test(test_every_single_byte_in_a_target_is_printable_ascii_or_refused),
        cmocka_unit_test(test_no_prefix_of_a_request_is_a_request),
        cmocka_unit_test(test_endless_lines_are_refused_once_they_pass_their_limit),
        cmocka_unit_test(test_a_request_tells_what_was_sent),
        cmocka_unit_test(test_what_follows_from_the_headers),
        cmocka_unit_test(test_a_header_of_a_head_that_was_refused),
        cmocka_unit_test(test_query_parameters_are_decoded_or_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
