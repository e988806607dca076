/* However its bytes are cut, a request has one outcome; one that is accepted has all its parts inside its head, leaves no doubt
 * about its body, and means the same when a proxy writes it anew. What follows it on the connection is the next request. The raw
 * requests of tests/data/http serve as further seeds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
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

enum { CUTS = 16, REWRITTEN_MAX = 4096, INPUT_MAX = 1500 }; /* more than the limits allow to matter */

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

static void parse_accepted(const char *bytes, size_t len, struct http_request *out)
{
    struct http_parser parser;
    size_t head_len = 0;

    http_parser_init(&parser, &limits);
    must(http_parser_run(&parser, bytes, len, &head_len) == HTTP_PARSE_DONE);
    http_parser_request(&parser, bytes, out);
}

static void add_text(struct buf *out, struct http_text text)
{
    if (text.data)
        buf_add(out, text.data, text.len);
}

/* As a proxy writes a request that it has read, for limits of its own: nothing but what the parser has seen. */
static void rewrite(struct buf *out, const struct http_request *request)
{
    buf_addf(out, "%s ", http_method_name(request->method));
    add_text(out, request->path);
    if (request->query.data)
        buf_add_char(out, '?');
    add_text(out, request->query);
    buf_addf(out, " HTTP/1.%d\r\n", request->minor);
    for (size_t i = 0; i < request->header_count; i++) {
        add_text(out, request->headers[i].name);
        buf_add_char(out, ':');
        add_text(out, request->headers[i].value);
        buf_add_text(out, "\r\n");
    }
    buf_add_text(out, "\r\n");
}

static bool same_text(struct http_text a, struct http_text b)
{
    return a.len == b.len && !a.data == !b.data && (!a.len || !memcmp(a.data, b.data, a.len));
}

static void must_mean_the_same(const struct http_request *a, const struct http_request *b)
{
    must(a->method == b->method && a->minor == b->minor && a->header_count == b->header_count);
    must(same_text(a->path, b->path) && same_text(a->query, b->query));
    must(a->content_length == b->content_length && a->has_content_length == b->has_content_length);
    must(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
    for (size_t i = 0; i < a->header_count; i++)
        must(same_text(a->headers[i].name, b->headers[i].name) && same_text(a->headers[i].value, b->headers[i].value));
}

static void check_rewritten(const struct http_request *request)
{
    struct buf anew;
    struct http_request again;

    buf_init(&anew, REWRITTEN_MAX);
    rewrite(&anew, request);
    parse_accepted(buf_text(&anew), anew.len, &again);
    must_mean_the_same(request, &again);
    buf_deinit(&anew);
}

static void check_accepted(const char *bytes, size_t head_len)
{
    struct http_request request;
    char value[16];

    parse_accepted(bytes, head_len, &request); /* the head alone is all it takes */
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
    if (http_request_query(&request, "id", value, sizeof(value)))
        must(strlen(value) < sizeof(value));
    check_rewritten(&request);
}

/* The cuts lie elsewhere for each length of the input. */
static struct outcome check_one(const char *bytes, size_t size)
{
    struct outcome whole = run(bytes, size, 1, size);

    must_be_same(whole, run(bytes, 0, 1, size));
    for (size_t cut = size % 7; cut < size; cut += 1 + size / CUTS)
        must_be_same(whole, run(bytes, cut, size, size));
    if (whole.parse == HTTP_PARSE_DONE)
        check_accepted(bytes, whole.head_len);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome outcome = {.parse = HTTP_PARSE_DONE};

    if (size > INPUT_MAX)
        return 0;
    for (size_t at = 0; outcome.parse == HTTP_PARSE_DONE && at < size; at += outcome.head_len) {
        char *bytes = malloc(size - at); /* of its own, so that one byte too far is seen */

        if (!bytes)
            return 0;
        memcpy(bytes, data + at, size - at);
        outcome = check_one(bytes, size - at);
        free(bytes);
    }
    return 0;
}
