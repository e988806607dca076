#include "common/http/header_rules.h"

#include <string.h>

#include "common/http/host.h"

typedef bool rule_fn(struct http_request *request, const struct http_limits *limits, struct http_refusal *out);

static bool refuse(struct http_refusal *out, enum problem problem, const char *detail)
{
    *out = (struct http_refusal){problem, detail};
    return false;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool http_is_made_of(const char *text, size_t len, const char *others)
{
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(text[i]) && (!text[i] || !strchr(others, text[i])))
            return false;
    return len > 0;
}

bool http_is_token(const char *text, size_t len)
{
    return http_is_made_of(text, len, "!#$%&'*+-.^_`|~");
}

static size_t count(const struct http_request *request, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < request->header_count; i++)
        n += http_text_is_nocase(request->headers[i].name, name);
    return n;
}

/* 0: a header that may come again. */
static unsigned once_only_bit(struct http_text name)
{
    static const char *const names[] = {"Host",          "Content-Length", "Transfer-Encoding", "Content-Type",
                                        "Authorization", "Last-Event-ID",  "Idempotency-Key",   "Origin"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (http_text_is_nocase(name, names[i]))
            return 1u << i;
    return 0;
}

static bool rule_once_only(struct http_request *request, const struct http_limits *limits, struct http_refusal *out)
{
    unsigned seen = 0;

    (void)limits;
    for (size_t i = 0; i < request->header_count; i++) {
        unsigned bit = once_only_bit(request->headers[i].name);

        if (seen & bit)
            return refuse(out, PROBLEM_BAD_REQUEST, "A header that may come only once comes again");
        seen |= bit;
    }
    return true;
}

static bool rule_host(struct http_request *request, const struct http_limits *limits, struct http_refusal *out)
{
    struct http_text host = http_request_header(request, "Host");

    (void)limits;
    if (!host.data && request->minor == 0)
        return true;
    if (!host.data || !http_host_is_valid(host))
        return refuse(out, PROBLEM_BAD_REQUEST, "Host must be present and be a valid host with an optional port");
    return true;
}

static bool takes_body(enum http_method method)
{
    switch (method) {
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_PATCH:
        return true;
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_DELETE:
    case HTTP_OPTIONS:
    case HTTP_METHOD_COUNT:
        break;
    }
    return false;
}

static bool rule_transfer_encoding(struct http_request *request, const struct http_limits *limits,
                                   struct http_refusal *out)
{
    struct http_text coding = http_request_header(request, "Transfer-Encoding");

    (void)limits;
    if (!coding.data)
        return true;
    if (http_request_header(request, "Content-Length").data)
        return refuse(out, PROBLEM_BAD_REQUEST, "Transfer-Encoding and Content-Length exclude each other");
    if (request->minor == 0)
        return refuse(out, PROBLEM_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
    if (!http_text_is_nocase(coding, "chunked"))
        return refuse(out, PROBLEM_BAD_REQUEST, "The only Transfer-Encoding that is accepted is chunked");
    if (!takes_body(request->method))
        return refuse(out, PROBLEM_BAD_REQUEST, "This method takes no body");
    request->chunked = true;
    return true;
}

/* Stops growing where int64_t would overflow: such a body is too large anyway. */
static bool parse_length(struct http_text text, int64_t *out)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value > (INT64_MAX - 9) / 10 ? INT64_MAX : value * 10 + (text.data[i] - '0');
    }
    *out = value;
    return text.len > 0;
}

static bool rule_content_length(struct http_request *request, const struct http_limits *limits,
                                struct http_refusal *out)
{
    struct http_text length = http_request_header(request, "Content-Length");

    if (!length.data)
        return true;
    request->has_content_length = true;
    if (!parse_length(length, &request->content_length))
        return refuse(out, PROBLEM_BAD_REQUEST, "Content-Length must be a number in decimal digits");
    if (request->content_length && !takes_body(request->method))
        return refuse(out, PROBLEM_BAD_REQUEST, "This method takes no body");
    if (request->content_length > limits->body_max)
        return refuse(out, PROBLEM_BODY_TOO_LARGE, NULL);
    return true;
}

static bool rule_expect(struct http_request *request, const struct http_limits *limits, struct http_refusal *out)
{
    struct http_text expect = http_request_header(request, "Expect");

    (void)limits;
    if (!expect.data || request->minor == 0)
        return true;
    if (count(request, "Expect") > 1 || !http_text_is_nocase(expect, "100-continue"))
        return refuse(out, PROBLEM_EXPECTATION_FAILED, NULL);
    request->expect_continue = request->content_length > 0 || request->chunked;
    return true;
}

static bool lists(struct http_text list, const char *token)
{
    const char *end = list.data + list.len;

    for (const char *at = list.data; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        struct http_text item = {at, (size_t)(stop - at)};

        while (item.len && strchr(" \t", item.data[0]))
            item = (struct http_text){item.data + 1, item.len - 1};
        while (item.len && strchr(" \t", item.data[item.len - 1]))
            item.len--;
        if (http_text_is_nocase(item, token))
            return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}

/* HTTP/1.0 connections close after one answer, which every such client understands. */
static bool rule_connection(struct http_request *request, const struct http_limits *limits, struct http_refusal *out)
{
    (void)limits;
    (void)out;
    request->keep_alive = request->minor == 1;
    for (size_t i = 0; i < request->header_count; i++)
        if (http_text_is_nocase(request->headers[i].name, "Connection") && lists(request->headers[i].value, "close"))
            request->keep_alive = false;
    return true;
}

bool http_apply_header_rules(struct http_request *request, const struct http_limits *limits, struct http_refusal *out)
{
    static rule_fn *const rules[] = {
        rule_once_only, rule_host, rule_transfer_encoding, rule_content_length, rule_expect, rule_connection,
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (!rules[i](request, limits, out))
            return false;
    return true;
}
