/* Head parser and chunk decoder, on one connection's input. Invariants:
 *   - The outcome does not depend on how the input is cut.
 *   - The parts of an accepted request point into its head, and its framing is unambiguous.
 *   - Rewriting an accepted request as a proxy does, or its body as one chunk, does not change its meaning.
 * Bytes after an accepted request are the next request. Further seeds: tests/data/http and tests/data/clients. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/http/chunked.h"
#include "common/http/request_parser.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, so that small inputs reach them. */
static const struct http_limits limits = {.target_max = 64, .head_max = 512, .body_max = 1000};

enum { CUTS = 16, REWRITTEN_MAX = 4096, INPUT_MAX = 1500 }; /* INPUT_MAX: larger inputs exceed the limits anyway */

struct outcome {
    enum http_parse parse;
    enum problem problem;
    const char *detail;
    size_t head_len, end; /* end: of the head, or of a chunked body */
    size_t body_len;
    char body[INPUT_MAX];
};

struct reading {
    struct http_parser parser;
    struct http_chunked chunked;
    struct outcome *out;
};

static void read_head(struct reading *reading, const char *bytes, size_t len)
{
    struct outcome *out = reading->out;

    out->parse = http_parser_run(&reading->parser, bytes, len, &out->head_len);
    out->problem = reading->parser.problem;
    out->detail = reading->parser.detail;
    if (out->parse == HTTP_PARSE_DONE) {
        out->end = out->head_len;
        http_chunked_init(&reading->chunked, limits.body_max);
    }
}

/* On a copy, because the decoder overwrites its input. */
static void read_chunks(struct reading *reading, const char *bytes, size_t len)
{
    struct outcome *out = reading->out;
    size_t taken = 0, decoded = 0;
    char *copy = malloc(len - out->end + 1);

    if (!copy)
        abort();
    memcpy(copy, bytes + out->end, len - out->end);
    out->parse = http_chunked_run(&reading->chunked, copy, len - out->end, &taken, copy, &decoded);
    must(taken <= len - out->end && decoded <= taken);
    memcpy(out->body + out->body_len, copy, decoded);
    free(copy);
    out->body_len += decoded;
    out->end += taken;
    out->problem = reading->chunked.problem;
    out->detail = reading->chunked.detail;
}

static void read_to(struct reading *reading, const char *bytes, size_t len)
{
    if (!reading->out->end)
        read_head(reading, bytes, len);
    if (reading->out->end && reading->parser.chunked)
        read_chunks(reading, bytes, len);
}

static void run(const char *bytes, size_t first, size_t step, size_t len, struct outcome *out)
{
    struct reading reading = {.out = out};

    memset(out, 0, sizeof(*out));
    out->parse = HTTP_PARSE_MORE;
    http_parser_init(&reading.parser, &limits);
    for (size_t have = first; out->parse == HTTP_PARSE_MORE; have = have + step < len ? have + step : len) {
        read_to(&reading, bytes, have);
        if (have == len)
            break;
    }
}

static void must_be_same(const struct outcome *a, const struct outcome *b)
{
    must(a->parse == b->parse && a->problem == b->problem && a->detail == b->detail && a->head_len == b->head_len);
    must(a->end == b->end && a->body_len == b->body_len && !memcmp(a->body, b->body, a->body_len));
}

static void must_point_into(struct http_text text, const char *bytes, size_t head_len)
{
    must(!text.data || http_text_is(text, "/") || (text.data >= bytes && text.data + text.len < bytes + head_len));
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

/* Writes the request as a proxy would, from the parsed parts only. */
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
    must(a->content_length == b->content_length && a->has_content_length == b->has_content_length &&
         a->chunked == b->chunked);
    must(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
    for (size_t i = 0; i < a->header_count; i++)
        must(same_text(a->headers[i].name, b->headers[i].name) && same_text(a->headers[i].value, b->headers[i].value));
}

static void check_rewritten(const struct http_request *request)
{
    struct buf rewritten;
    struct http_request again;

    buf_init(&rewritten, REWRITTEN_MAX);
    rewrite(&rewritten, request);
    parse_accepted(buf_text(&rewritten), rewritten.len, &again);
    must_mean_the_same(request, &again);
    buf_deinit(&rewritten);
}

static void check_accepted(const char *bytes, size_t head_len)
{
    struct http_request request;
    char value[16];

    parse_accepted(bytes, head_len, &request); /* needs only the head */
    must(head_len <= limits.head_max && !memcmp(bytes + head_len - 4, "\r\n\r\n", 4));
    must(request.path.len && request.path.data[0] == '/' && request.path.len + request.query.len <= limits.target_max);
    must_point_into(request.path, bytes, head_len);
    must_point_into(request.query, bytes, head_len);
    for (size_t i = 0; i < request.header_count; i++) {
        must(request.headers[i].name.len > 0);
        must_point_into(request.headers[i].name, bytes, head_len);
        must_point_into(request.headers[i].value, bytes, head_len);
    }
    must(request.chunked == !!http_request_header(&request, "transfer-encoding").data);
    must(!request.chunked || !request.has_content_length);
    must(request.content_length >= 0 && request.content_length <= limits.body_max);
    must(!request.content_length || request.has_content_length);
    if (http_request_query(&request, "id", value, sizeof(value)))
        must(strlen(value) < sizeof(value));
    check_rewritten(&request);
}

/* Decodes the same content again as one chunk, or as none if it is empty. */
static void check_body(const struct outcome *outcome)
{
    struct http_chunked chunked;
    struct buf again;
    size_t taken, decoded;

    must((int64_t)outcome->body_len <= limits.body_max);
    buf_init(&again, REWRITTEN_MAX);
    if (outcome->body_len) {
        buf_addf(&again, "%zx\r\n", outcome->body_len);
        buf_add(&again, outcome->body, outcome->body_len);
        buf_add_text(&again, "\r\n");
    }
    buf_add_text(&again, "0\r\n\r\n");
    http_chunked_init(&chunked, limits.body_max);
    must(http_chunked_run(&chunked, again.data, again.len, &taken, again.data, &decoded) == HTTP_PARSE_DONE);
    must(taken == again.len && decoded == outcome->body_len && !memcmp(again.data, outcome->body, decoded));
    buf_deinit(&again);
}

static void check_cut(const struct outcome *whole, const char *bytes, size_t first, size_t step, size_t size)
{
    static struct outcome cut;

    run(bytes, first, step, size, &cut);
    must_be_same(whole, &cut);
}

/* The cuts depend on the size of the input. */
static void check_one(const char *bytes, size_t size, struct outcome *whole)
{
    run(bytes, size, 1, size, whole);
    check_cut(whole, bytes, 0, 1, size);
    for (size_t cut = size % 7; cut < size; cut += 1 + size / CUTS)
        check_cut(whole, bytes, cut, size, size);
    if (whole->end)
        check_accepted(bytes, whole->head_len);
    if (whole->parse == HTTP_PARSE_DONE)
        check_body(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome outcome;

    if (size > INPUT_MAX)
        return 0;
    outcome.parse = HTTP_PARSE_DONE;
    for (size_t at = 0; outcome.parse == HTTP_PARSE_DONE && at < size; at += outcome.end) {
        char *bytes = malloc(size - at); /* exact size, so that ASan finds a read past the end */

        if (!bytes)
            return 0;
        memcpy(bytes, data + at, size - at);
        check_one(bytes, size - at, &outcome);
        free(bytes);
    }
    return 0;
}
