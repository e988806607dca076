/* However its bytes are cut, a request has one outcome; one that is accepted has all its parts inside its head, and leaves
 * no doubt about its body. The raw requests of tests/data/http serve as further seeds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small limits are reached by small inputs. */
static const struct http_limits limits = {.target_max = 64, .head_max = 512, .body_max = 1000};

struct outcome {
    enum http_parse parse;
    enum problem problem;
    const char *detail;
    size_t head_len;
};

static struct outcome run(const char *bytes, size_t first, size_t step, size_t len)
{
    struct http_parser parser;
    struct outcome outcome = {.parse = HTTP_PARSE_MORE};

    http_parser_init(&parser, &limits);
    for (size_t have = first; outcome.parse == HTTP_PARSE_MORE; have = have + step < len ? have + step : len) {
        outcome.parse = http_parser_run(&parser, bytes, have, &outcome.head_len);
        if (have == len)
            break;
    }
    if (outcome.parse == HTTP_PARSE_FAILED) {
        outcome.problem = parser.problem;
        outcome.detail = parser.detail;
    }
    return outcome;
}

static void must(int claim)
{
    if (!claim)
        abort();
}

static void must_be_same(struct outcome a, struct outcome b)
{
    must(a.parse == b.parse && a.problem == b.problem && a.detail == b.detail && a.head_len == b.head_len);
}

static void must_lie_inside(struct http_text text, const char *bytes, size_t head_len)
{
    must(!text.data || (text.data >= bytes && text.data + text.len < bytes + head_len));
    must(!text.data || !memchr(text.data, '\n', text.len));
}

static void check_accepted(const char *bytes, size_t len, size_t head_len)
{
    struct http_parser parser;
    struct http_request request;
    size_t again = 0;
    char value[16];

    http_parser_init(&parser, &limits);
    must(http_parser_run(&parser, bytes, len, &again) == HTTP_PARSE_DONE && again == head_len);
    http_parser_request(&parser, bytes, &request);
    must(head_len <= limits.head_max && !memcmp(bytes + head_len - 4, "\r\n\r\n", 4));
    must(request.path.len && request.path.data[0] == '/' && request.path.len + request.query.len <= limits.target_max);
    must_lie_inside(request.path, bytes, head_len);
    must_lie_inside(request.query, bytes, head_len);
    for (size_t i = 0; i < request.header_count; i++) {
        must(request.headers[i].name.len > 0);
        must_lie_inside(request.headers[i].name, bytes, head_len);
        must_lie_inside(request.headers[i].value, bytes, head_len);
    }
    must(!http_request_header(&request, "transfer-encoding").data);
    must(request.content_length >= 0 && request.content_length <= limits.body_max);
    must(!request.content_length || request.has_content_length);
    must(request.minor == 0 || http_request_header(&request, "host").len > 0);
    (void)http_request_query(&request, "id", value, sizeof(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size + !size); /* of its own, so that one byte too far is seen */
    struct outcome whole;

    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    whole = run(bytes, size, 1, size);
    must_be_same(whole, run(bytes, 0, 1, size));
    for (size_t cut = 0; cut < size; cut += 1 + size / 16)
        must_be_same(whole, run(bytes, cut, size, size));
    if (whole.parse == HTTP_PARSE_DONE)
        check_accepted(bytes, size, whole.head_len);
    free(bytes);
    return 0;
}
