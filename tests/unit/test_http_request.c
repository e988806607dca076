/* Head parser and chunk decoder. tests/data/http/manifest.txt has the status of each raw request. Statuses that only routing can produce
 * count as "accepted" here; test_http_requests.c checks them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/http/chunked.h"
#include "common/http/request_parser.h"

enum { FILE_MAX = 16 * 1024, NAME_MAX_LEN = 80, MORE = -1 };

static const struct http_limits limits = {.target_max = 4096, .head_max = 8192, .body_max = 262144};

struct outcome {
    int status; /* 0: accepted; MORE: head or chunks are incomplete */
    size_t head_len;
    size_t body_len; /* decoded length of a chunked body */
    uint32_t body_hash;
    const char *detail;
};

struct feed {
    struct http_parser parser;
    bool has_head;
    struct http_chunked chunked;
    size_t at; /* offset of the next byte for the decoder */
    struct outcome outcome;
};

static void feed_begin(struct feed *feed)
{
    *feed = (struct feed){0};
    http_parser_init(&feed->parser, &limits);
    feed->outcome = (struct outcome){.status = MORE};
}

static void conclude(struct feed *feed, enum http_parse parse, enum problem problem, const char *detail)
{
    if (parse == HTTP_PARSE_DONE)
        feed->outcome.status = 0;
    if (parse == HTTP_PARSE_FAILED) {
        feed->outcome.status = problem_status(problem);
        feed->outcome.detail = detail;
    }
}

static void feed_head(struct feed *feed, const char *bytes, size_t len)
{
    enum http_parse parse = http_parser_run(&feed->parser, bytes, len, &feed->outcome.head_len);

    if (parse == HTTP_PARSE_DONE && feed->parser.chunked) {
        feed->has_head = true;
        feed->at = feed->outcome.head_len;
        http_chunked_init(&feed->chunked, limits.body_max);
    } else {
        conclude(feed, parse, feed->parser.problem, feed->parser.detail);
    }
}

/* Decodes in place, as the server does. */
static void feed_chunks(struct feed *feed, char *bytes, size_t len)
{
    size_t taken, decoded;
    char *at = bytes + feed->at;
    enum http_parse parse = http_chunked_run(&feed->chunked, at, len - feed->at, &taken, at, &decoded);

    for (size_t i = 0; i < decoded; i++)
        feed->outcome.body_hash = feed->outcome.body_hash * 31 + (unsigned char)at[i];
    feed->outcome.body_len += decoded;
    feed->at += taken;
    conclude(feed, parse, feed->chunked.problem, feed->chunked.detail);
}

/* Each call uses an exact allocation at a new address, so that ASan finds reads past the end and stale pointers. */
static void feed_to(struct feed *feed, const char *bytes, size_t len)
{
    char *copy;

    if (feed->outcome.status != MORE)
        return;
    copy = malloc(len + !len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    if (!feed->has_head)
        feed_head(feed, copy, len);
    if (feed->has_head)
        feed_chunks(feed, copy, len);
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
    if (a.status == b.status && a.head_len == b.head_len && a.detail == b.detail && a.body_len == b.body_len &&
        a.body_hash == b.body_hash)
        return;
    fail_msg("%s: status %d when complete, %d %s (%zu)", name, a.status, b.status, how, at);
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

static void test_every_raw_request_gets_its_status_for_any_cut(void **state)
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
    assert_true(rows > 250);
}

static void test_every_byte_in_a_header_value_has_one_result_for_any_cut(void **state)
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

static void test_every_byte_in_a_target_is_printable_ascii_or_refused(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char bytes[] = "GET /x? HTTP/1.1\r\nHost: a\r\n\r\n";
        bool allowed = c > 0x20 && c < 0x7f && c != '#';

        bytes[6] = (char)c;
        assert_int_equal(parse_whole(bytes, sizeof(bytes) - 1).status, allowed ? 0 : 400);
    }
}

static void test_no_prefix_of_a_request_is_accepted(void **state)
{
    static const char bytes[] = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";

    (void)state;
    for (size_t len = 0; len < sizeof(bytes) - 1; len++)
        assert_int_equal(parse_whole(bytes, len).status, MORE);
    assert_int_equal(parse_whole(bytes, sizeof(bytes) - 1).status, 0);
    assert_int_equal(parse_whole(bytes, sizeof(bytes) - 1).head_len, sizeof(bytes) - 1);
}

static void test_lines_above_their_limit_are_refused_before_they_end(void **state)
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

static bool is_refused(struct outcome outcome)
{
    return outcome.status > 0;
}

enum { HEX = 1, TOKENS = 2, TEXT = 4, ESCAPABLE = 8, CONTROLS = 16 }; /* overlapping classes of bytes */

static unsigned classes_of(int c)
{
    bool digit = c >= '0' && c <= '9';
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool escapable = c == '"' || c == '\\';
    bool text = c == '\t' || (c >= 0x20 && c != 0x7f);

    return (digit || (letter && (c | 0x20) <= 'f') ? HEX : 0u) |
           (digit || letter || (c && strchr("!#$%&'*+-.^_`|~", c)) ? TOKENS : 0u) | (text && !escapable ? TEXT : 0u) |
           (escapable ? ESCAPABLE : 0u) | (!text ? CONTROLS : 0u);
}

static void test_every_byte_around_chunks_has_one_result_for_any_cut(void **state)
{
    static const char before[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const struct {
        const char *name, *pattern; /* "?" is replaced by the byte */
        unsigned allowed;
        const char *also; /* bytes that have a syntactic meaning at this place */
    } cases[] = {
        {"a size",                   "00?;a",                   HEX,                         " \t"},
        {"the name of an extension", "0;a?;b\r\n\r\n",          TOKENS,                      " \t"},
        {"a value",                  "0;a=b?;c\r\n\r\n",        TOKENS,                      " \t"},
        {"a quoted value",           "0;a=\"?\"\r\n\r\n",       TEXT,                        ""   },
        {"an escaped byte",          "0;a=\"\\?\"\r\n\r\n",     TEXT | ESCAPABLE,            ""   },
        {"content",                  "1\r\n?\r\n0\r\n\r\n",     TEXT | ESCAPABLE | CONTROLS, ""   },
        {"the name of a trailer",    "0\r\nab?c: d\r\n\r\n",    TOKENS,                      ":"  },
        {"the value of a trailer",   "0\r\na: \"?\\ b\r\n\r\n", TEXT | ESCAPABLE,            ""   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        for (int c = 0; c < 256; c++) {
            char bytes[256];
            size_t len = (size_t)snprintf(bytes, sizeof(bytes), "%s%s", before, cases[i].pattern);
            bool allowed = (classes_of(c) & cases[i].allowed) || (c && strchr(cases[i].also, c));

            *strchr(bytes + sizeof(before) - 1, '?') = (char)c;
            if (is_refused(parse_whole(bytes, len)) == allowed || is_refused(parse_bytewise(bytes, len)) == allowed)
                fail_msg("%s: byte 0x%02x", cases[i].name, (unsigned)c);
        }
    }
}

static void test_chunks_are_decoded(void **state)
{
    char bytes[] = "3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET";
    struct http_chunked chunked;
    size_t taken, decoded;

    (void)state;
    http_chunked_init(&chunked, 13);
    assert_int_equal(http_chunked_run(&chunked, bytes, sizeof(bytes) - 1, &taken, bytes, &decoded), HTTP_PARSE_DONE);
    assert_int_equal(decoded, 13);
    assert_memory_equal(bytes, "abc0123456789", 13);
    assert_int_equal(taken, sizeof(bytes) - 1 - 3);
}

/* The limit is 8 times the content so far, plus 4 KiB. */
static void test_framing_is_limited_relative_to_the_content(void **state)
{
    static const struct {
        const char *chunk; /* with one byte of content */
        int chunks, status;
    } cases[] = {
        {"1\r\nx\r\n",           100000, 0  }, /* 5 bytes of framing each */
        {"0001\r\nx\r\n",        100000, 0  }, /* 8 */
        {"00001\r\nx\r\n",       4090,   0  }, /* 9, so 4096 chunks exceed the limit by 4 KiB */
        {"00001\r\nx\r\n",       4100,   400},
        {"1;a=bcdefgh\r\nx\r\n", 2000,   400},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_chunked chunked;
        enum http_parse parse = HTTP_PARSE_MORE;
        size_t taken, decoded, total = 0;
        char copy[64];

        http_chunked_init(&chunked, limits.body_max);
        for (int n = 0; n < cases[i].chunks && parse == HTTP_PARSE_MORE; n++) {
            size_t len = (size_t)snprintf(copy, sizeof(copy), "%s", cases[i].chunk);

            parse = http_chunked_run(&chunked, copy, len, &taken, copy, &decoded);
            total += decoded;
        }
        if (cases[i].status) {
            assert_int_equal(parse, HTTP_PARSE_FAILED);
            assert_int_equal(problem_status(chunked.problem), cases[i].status);
        } else {
            assert_int_equal(parse, HTTP_PARSE_MORE);
            assert_int_equal(total, cases[i].chunks);
        }
    }
}

/* Fails unless the request is accepted. The texts of the result point into `bytes`. */
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

static void test_a_parsed_request_has_the_parts_that_were_sent(void **state)
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

static void test_an_absolute_target_sets_path_and_host(void **state)
{
    static const struct {
        const char *target, *path, *query, *host; /* query NULL: none */
    } cases[] = {
        {"http://b",               "/",    NULL,          "b"       },
        {"http://b/",              "/",    NULL,          "b"       },
        {"HTTPS://b:8000/c/d?e=f", "/c/d", "e=f",         "b:8000"  },
        {"http://[::1]:80?e",      "/",    "e",           "[::1]:80"},
        {"http://b/c?d=http://e/", "/c",   "d=http://e/", "b"       },
        {"/c?d",                   "/c",   "d",           "a"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char head[256];
        struct http_request request;

        (void)snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nA: b\r\nhost: a\r\n\r\n", cases[i].target);
        request = parse(head);
        print_message("  %s\n", cases[i].target);
        assert_true(http_text_is(request.path, cases[i].path));
        assert_int_equal(!request.query.data, !cases[i].query);
        assert_true(!cases[i].query || http_text_is(request.query, cases[i].query));
        assert_true(http_text_is(http_request_header(&request, "Host"), cases[i].host));
        assert_true(http_text_is(http_request_header(&request, "A"), "b"));
    }
}

static void test_framing_and_connection_headers(void **state)
{
    static const struct {
        const char *name, *head;
        bool keep_alive, expect_continue, has_content_length;
    } cases[] = {
        {"1.1 is kept alive",                   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",                                    true,  false, false},
        {"unless it says close",                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",               false, false, false},
        {"close in any case, in a list",        "GET / HTTP/1.1\r\nHost: a\r\nConnection: a, CLOSE ,b\r\n\r\n",         false, false,
         false                                                                                                                             },
        {"close in a second Connection header",
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: a\r\nConnection: close\r\n\r\n",                                     false, false, false},
        {"a longer word is not close",          "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",              true,  false, false},
        {"1.0 closes",                          "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",                     false, false, false},
        {"1.0 does not know Expect",            "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", false,
         false,                                                                                                                       true },
        {"Expect without a body is ignored",
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",                             true,  false, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
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
        {"no query at all",                          "",                 NULL     },
        {"an empty query",                           "?",                NULL     },
        {"the only parameter",                       "?id=1-2",          "1-2"    },
        {"an empty value",                           "?id=",             ""       },
        {"a name without a value",                   "?id",              NULL     },
        {"the last parameter",                       "?a=b&id=x",        "x"      },
        {"the first of two",                         "?id=1&id=2",       "1"      },
        {"not the end of another name",              "?aid=1",           NULL     },
        {"not the beginning of another name",        "?id2=1",           NULL     },
        {"empty pairs are skipped",                  "?&&id=1&",         "1"      },
        {"percent-decoding",                         "?id=%41%2d%7a%7A", "A-zz"   },
        {"a plus is not decoded",                    "?id=a+b",          "a+b"    },
        {"an incomplete escape",                     "?id=%4",           NULL     },
        {"an incomplete escape before another pair", "?id=%4&a=b",       NULL     },
        {"an invalid escape",                        "?id=%4g",          NULL     },
        {"a NUL",                                    "?id=a%00b",        NULL     },
        {"as long as the buffer",                    "?id=1234567",      "1234567"},
        {"longer than the buffer",                   "?id=12345678",     NULL     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
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

static void test_headers_of_a_refused_head(void **state)
{
    /* clang-format off */
    static const struct { const char *name, *head, *value; } cases[] = {
        { "an empty head",                 "",                                              NULL },
        { "a complete head",                     "GET / HTTP/1.1\r\nHost: a\r\nOrigin: x\r\n\r\n", "x"  },
        { "any case, blanks around it",       "GET / HTTP/1.1\r\noRIGIN:\t x \r\n",             "x"  },
        { "after an empty line",              "\r\nGET / HTTP/1.1\r\nOrigin: x\r\n",           "x"  },
        { "after malformed lines",        "GET\r\n:\r\n = \r\nOrigin: x\r\n",              "x"  },
        { "an empty value",                   "GET / HTTP/1.1\r\nOrigin:\r\nOrigin: y\r\n",      ""   },
        { "the first of two",                 "GET / HTTP/1.1\r\nOrigin: x\r\nOrigin: y\r\n",    "x"  },
        { "an incomplete line",            "GET / HTTP/1.1\r\nOrigin: x",                   NULL },
        { "a longer name",                    "GET / HTTP/1.1\r\nOrigins: x\r\n",              NULL },
        { "a space before the colon",         "GET / HTTP/1.1\r\nOrigin : x\r\n",              NULL },
        { "the request line is not a header",    "Origin: x\r\nHost: a\r\n",                      NULL },
        { "the body is not searched",              "GET / HTTP/1.1\r\n\r\nOrigin: x\r\n",           NULL },
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
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
        cmocka_unit_test(test_every_raw_request_gets_its_status_for_any_cut),
        cmocka_unit_test(test_every_byte_in_a_header_value_has_one_result_for_any_cut),
        cmocka_unit_test(test_every_byte_in_a_target_is_printable_ascii_or_refused),
        cmocka_unit_test(test_no_prefix_of_a_request_is_accepted),
        cmocka_unit_test(test_lines_above_their_limit_are_refused_before_they_end),
        cmocka_unit_test(test_a_parsed_request_has_the_parts_that_were_sent),
        cmocka_unit_test(test_an_absolute_target_sets_path_and_host),
        cmocka_unit_test(test_every_byte_around_chunks_has_one_result_for_any_cut),
        cmocka_unit_test(test_chunks_are_decoded),
        cmocka_unit_test(test_framing_is_limited_relative_to_the_content),
        cmocka_unit_test(test_framing_and_connection_headers),
        cmocka_unit_test(test_headers_of_a_refused_head),
        cmocka_unit_test(test_query_parameters_are_decoded_or_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
