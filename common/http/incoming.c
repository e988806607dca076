#include "common/http/incoming.h"

#include <stdlib.h>
#include <string.h>

struct incoming_request *incoming_create(const struct http_limits *limits)
{
    struct incoming_request *incoming = calloc(1, sizeof(*incoming));

    if (!incoming)
        return NULL;
    buf_init(&incoming->input, limits->target_max + limits->head_max + (size_t)limits->body_max + READ_CHUNK);
    buf_init(&incoming->headers, READ_CHUNK);
    http_parser_init(&incoming->parser, limits);
    return incoming;
}

struct incoming_request *incoming_destroy(struct incoming_request *incoming)
{
    if (!incoming)
        return NULL;
    buf_deinit(&incoming->input);
    buf_deinit(&incoming->headers);
    free(incoming);
    return NULL;
}

/* Decodes in place, so that the bytes of later requests follow the decoded body. */
static enum http_parse decode_chunks(struct incoming_request *incoming)
{
    struct buf *input = &incoming->input;
    char *end = input->data + incoming->head_len + incoming->body_len;
    size_t coded = input->len - incoming->head_len - incoming->body_len, taken, decoded;
    enum http_parse parse = http_chunked_run(&incoming->chunked, end, coded, &taken, end, &decoded);

    memmove(end + decoded, end + taken, coded - taken);
    incoming->body_len += decoded;
    buf_truncate(input, input->len - (taken - decoded));
    return parse;
}

static enum http_parse parse_sized_body(struct incoming_request *incoming)
{
    int64_t length = incoming->request.content_length;

    if ((int64_t)(incoming->input.len - incoming->head_len) < length)
        return HTTP_PARSE_MORE;
    incoming->body_len = (size_t)length;
    return HTTP_PARSE_DONE;
}

static enum http_parse parse_body(struct incoming_request *incoming)
{
    return incoming->request.chunked ? decode_chunks(incoming) : parse_sized_body(incoming);
}

void incoming_begin_head(struct incoming_request *incoming)
{
    http_parser_request(&incoming->parser, incoming->input.data, &incoming->request);
    incoming->body_len = 0;
}

enum http_parse incoming_begin_body(struct incoming_request *incoming, const struct http_limits *limits)
{
    if (incoming->request.chunked)
        http_chunked_init(&incoming->chunked, limits->body_max);
    return parse_body(incoming);
}

enum http_parse incoming_parse_body(struct incoming_request *incoming)
{
    enum http_parse parse = parse_body(incoming);

    if (parse == HTTP_PARSE_DONE) /* `input` may have moved in memory since the head was parsed */
        http_parser_request(&incoming->parser, incoming->input.data, &incoming->request);
    return parse;
}

/* -- a body that is taken while it arrives */

void incoming_begin_taking(struct incoming_request *incoming, int64_t body_max)
{
    incoming->is_taken = true;
    if (incoming->request.chunked)
        http_chunked_init(&incoming->chunked, body_max);
}

static size_t left_of_sized(const struct incoming_request *incoming)
{
    size_t got = incoming->is_taken ? incoming->body_len : incoming->input.len - incoming->head_len;

    return (size_t)incoming->request.content_length - got;
}

bool incoming_is_whole(const struct incoming_request *incoming)
{
    return !incoming->request.chunked && !left_of_sized(incoming);
}

size_t incoming_take_ahead(struct incoming_request *incoming, char *out, size_t size)
{
    struct buf *input = &incoming->input;
    char *from = input->data + incoming->head_len;
    size_t ahead = input->len - incoming->head_len;

    if (size > ahead)
        size = ahead;
    if (!incoming->request.chunked && size > left_of_sized(incoming))
        size = left_of_sized(incoming);
    memcpy(out, from, size);
    memmove(from, from + size, ahead - size);
    buf_truncate(input, input->len - size);
    return size;
}

enum http_parse incoming_decode(struct incoming_request *incoming, char *bytes, size_t len, size_t *content)
{
    enum http_parse parse;
    size_t taken = len;

    if (!incoming->request.chunked) {
        *content = len;
        incoming->body_len += len;
        return incoming_is_whole(incoming) ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
    }
    parse = http_chunked_run(&incoming->chunked, bytes, len, &taken, bytes, content);
    incoming->body_len += *content;
    if (parse == HTTP_PARSE_DONE)
        buf_add(&incoming->input, bytes + taken, len - taken);
    return parse;
}

void incoming_end_body(struct incoming_request *incoming)
{
    incoming->end = incoming->head_len;
    http_parser_request(&incoming->parser, incoming->input.data, &incoming->request); /* `input` may have moved */
}

size_t incoming_body_read_size(const struct incoming_request *incoming)
{
    size_t rest;

    if (incoming->request.chunked)
        rest = incoming->chunked.left > HEAD_CHUNK ? (size_t)incoming->chunked.left : HEAD_CHUNK;
    else
        rest = left_of_sized(incoming);
    return rest < READ_CHUNK ? rest : READ_CHUNK;
}

bool incoming_next(struct incoming_request *incoming, const struct http_limits *limits)
{
    if (incoming->input.len <= incoming->end)
        return false;
    buf_drop_front(&incoming->input, incoming->end);
    incoming->end = 0;
    incoming->is_taken = incoming->is_paused = false;
    buf_deinit(&incoming->headers);
    http_parser_init(&incoming->parser, limits);
    return true;
}

int incoming_copy_rest(const struct incoming_request *incoming, const struct http_limits *limits,
                       struct incoming_request **out)
{
    size_t ahead = incoming->input.len - incoming->end;
    struct incoming_request *rest = ahead ? incoming_create(limits) : NULL;

    if (rest)
        buf_add(&rest->input, incoming->input.data + incoming->end, ahead);
    if (ahead && (!rest || buf_error(&rest->input))) {
        incoming_destroy(rest);
        return ERR_NO_MEMORY;
    }
    *out = rest;
    return 0;
}
