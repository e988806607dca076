/* Parses the recorded requests of real clients, cut in different places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/chunked.h"
#include "common/http/request_parser.h"
#include "tests/support/recordings.h"

enum { ROWS_MIN = 150, CHUNKED_MIN = 30 };

static const struct http_limits limits = {.target_max = 4096, .head_max = 8192, .body_max = 262144};

struct outcome {
    enum http_parse parse;
    int status; /* of the problem, 0 without one */
    size_t head_len;
};

/* The bytes are given in a copy of exactly this length, so that a read beyond its end is detected. */
static void feed(struct http_parser *parser, const char *bytes, size_t len, struct outcome *outcome)
{
    char *copy = malloc(len + !len);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    outcome->parse = http_parser_run(parser, copy, len, &outcome->head_len);
    if (outcome->parse == HTTP_PARSE_FAILED)
        outcome->status = problem_status(parser->problem);
    free(copy);
}

/* First `first` bytes, then `step` more each time. */
static struct outcome parse(const struct recorded_request *request, size_t first, size_t step)
{
    struct http_parser parser;
    struct outcome outcome = {.parse = HTTP_PARSE_MORE};
    size_t len = request->head_len + request->body_len;

    http_parser_init(&parser, &limits);
    for (size_t have = first; outcome.parse == HTTP_PARSE_MORE; have = have + step < len ? have + step : len) {
        feed(&parser, request->bytes, have, &outcome);
        if (have == len)
            break;
    }
    return outcome;
}

static int expected_status(const struct recorded_request *request)
{
    return strcmp(request->answer, "413") == 0 ? 413 : 0;
}

static void expect_parsed(const struct recording *recording, const struct recorded_request *request,
                          struct outcome outcome)
{
    enum http_parse parsed = expected_status(request) ? HTTP_PARSE_FAILED : HTTP_PARSE_DONE;

    if (outcome.parse != parsed || outcome.status != expected_status(request))
        fail_msg("%s: outcome %d, status %d", recording->name, outcome.parse, outcome.status);
    if (parsed == HTTP_PARSE_DONE && outcome.head_len != request->head_len)
        fail_msg("%s: a head of %zu bytes instead of %zu", recording->name, outcome.head_len, request->head_len);
}

static void check_heads(const struct recording *recording, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < recording->count; i++) {
        const struct recorded_request *request = &recording->requests[i];
        size_t len = request->head_len + request->body_len;

        for (size_t at = 0; at <= len; at++)
            expect_parsed(recording, request, parse(request, at, len));
        expect_parsed(recording, request, parse(request, 0, 1));
    }
}

static void test_every_recorded_head_is_parsed_for_any_cut(void **state)
{
    (void)state;
    assert_true(recordings_each(check_heads, NULL) >= ROWS_MIN);
}

/* First `first` bytes of the body, then `step` more each time. */
static void check_body(const struct recording *recording, const struct recorded_request *request, size_t first,
                       size_t step)
{
    const char *body = request->bytes + request->head_len;
    enum http_parse parse = HTTP_PARSE_MORE;
    struct http_chunked chunked;
    char out[RECORDING_BYTES_MAX];
    size_t at = 0, len = 0, taken, written;

    http_chunked_init(&chunked, limits.body_max);
    for (size_t have = first; parse == HTTP_PARSE_MORE && at < request->body_len; have += step) {
        have = have < request->body_len ? have : request->body_len;
        parse = http_chunked_run(&chunked, body + at, have - at, &taken, out + len, &written);
        at += taken;
        len += written;
    }
    if (parse != HTTP_PARSE_DONE || at != request->body_len)
        fail_msg("%s: outcome %d after %zu of %zu bytes", recording->name, parse, at, request->body_len);
    assert_int_equal(len, strlen(request->decoded));
    assert_memory_equal(out, request->decoded, len);
}

static void check_bodies(const struct recording *recording, void *arg)
{
    int *chunked = arg;

    for (size_t i = 0; i < recording->count; i++) {
        const struct recorded_request *request = &recording->requests[i];

        if (!request->chunked)
            continue;
        for (size_t at = 0; at <= request->body_len; at++)
            check_body(recording, request, at, request->body_len);
        check_body(recording, request, 0, 1);
        (*chunked)++;
    }
}

static void test_every_recorded_chunked_body_is_decoded_for_any_cut(void **state)
{
    int chunked = 0;

    (void)state;
    (void)recordings_each(check_bodies, &chunked);
    assert_true(chunked >= CHUNKED_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_recorded_head_is_parsed_for_any_cut),
        cmocka_unit_test(test_every_recorded_chunked_body_is_decoded_for_any_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
