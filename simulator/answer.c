#include "simulator/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PIXELS_PER_TOKEN = 256 };

void sim_request_id(char out[SIM_REQUEST_ID_SIZE], int64_t now_ms, const char *random)
{
    (void)snprintf(out, SIM_REQUEST_ID_SIZE, "02%013" PRId64 "%.38s", now_ms, random);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_add_char(out, '"');
    buf_add_text(out, name);
    buf_add_text(out, "\":");
    buf_add_json(out, text, strlen(text));
}

/* `before` is the text up to the number, including the member's name. */
static void add_int(struct buf *out, const char *before, int64_t number)
{
    buf_add_text(out, before);
    buf_add_int(out, number);
}

/* -- errors */

static void add_error_fields(struct buf *out, const struct sim_error *error, const char *request_id)
{
    char message[sizeof(error->message) + 2 * SIM_REQUEST_ID_SIZE];

    (void)snprintf(message, sizeof(message), "%s Request id: %s", error->message, request_id);
    add_text(out, "code", error->code);
    buf_add_char(out, ',');
    add_text(out, "message", message);
    buf_add_char(out, ',');
    add_text(out, "param", error->param);
    buf_add_char(out, ',');
    add_text(out, "type", error->type);
}

static void add_html(struct buf *out, int status)
{
    buf_addf(out, "<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n<center><h1>%d</h1></center>\r\n", status,
             status);
    buf_add_text(out, "<hr><center>istio-envoy</center>\r\n</body>\r\n</html>\r\n");
}

void sim_answer_error(struct buf *out, const struct sim_error *error, const char *request_id, enum sim_body body)
{
    switch (body) {
    case SIM_BODY_ERROR:
        buf_add_text(out, "{\"error\":{");
        add_error_fields(out, error, request_id);
        buf_add_text(out, "}}");
        return;
    case SIM_BODY_UNWRAPPED:
        buf_add_char(out, '{');
        add_error_fields(out, error, request_id);
        buf_add_char(out, ',');
        add_text(out, "request_id", request_id);
        buf_add_char(out, '}');
        return;
    case SIM_BODY_HTML:
        add_html(out, error->status);
        return;
    case SIM_BODY_GARBAGE:
        buf_add_text(out, "{\"model\":\"doubao-seedr\xff\xfe\x01 <<< not JSON");
        return;
    case SIM_BODY_EMPTY:
        return;
    }
}

/* The error of a single image has only two keys and no request id. */
static void add_short_error(struct buf *out, const char *code)
{
    buf_add_text(out, "\"error\":{");
    add_text(out, "code", code);
    buf_add_char(out, ',');
    add_text(out, "message", sim_error_kind_of(code)->message);
    buf_add_char(out, '}');
}

/* -- shared by the JSON response and the frames */

static void add_picture(struct buf *out, const struct sim_slot *slot)
{
    if (slot->url) {
        add_text(out, "url", slot->url);
    } else {
        buf_add_text(out, "\"b64_json\":\"");
        buf_add(out, slot->b64, slot->b64_len);
        buf_add_char(out, '"');
    }
    add_int(out, ",\"size\":\"", slot->width);
    add_int(out, "x", slot->height);
    buf_add_char(out, '"');
    if (!slot->layer)
        return;
    add_int(out, ",\"z_index\":", slot->index);
    buf_addf(out, ",\"name\":\"%s\",\"output_format\":\"png\"", slot->index ? "layer" : "base");
}

static void add_usage(struct buf *out, const struct sim_usage *usage)
{
    int64_t tokens = (usage->pixels + PIXELS_PER_TOKEN / 2) / PIXELS_PER_TOKEN;

    add_int(out, "\"usage\":{\"generated_images\":", usage->images);
    add_int(out, ",\"output_tokens\":", tokens);
    add_int(out, ",\"total_tokens\":", tokens);
    if (usage->web_search)
        buf_add_text(out, ",\"tool_usage\":{\"web_search\":1}");
    buf_add_char(out, '}');
}

static void add_tools(struct buf *out, const struct sim_answer *answer)
{
    if (answer->web_search)
        buf_add_text(out, ",\"tools\":[{\"type\":\"web_search\"}]");
}

/* -- the JSON response */

void sim_answer_slot(struct buf *out, const struct sim_slot *slot)
{
    buf_add_text(out, slot->index ? ",{" : "{");
    if (slot->code)
        add_short_error(out, slot->code);
    else
        add_picture(out, slot);
    buf_add_char(out, '}');
}

void sim_answer_body(struct buf *out, const struct sim_answer *answer, const char *slots, const struct sim_usage *usage,
                     const char *code)
{
    buf_add_char(out, '{');
    add_text(out, "model", answer->model);
    add_int(out, ",\"created\":", answer->created);
    buf_add_text(out, ",\"data\":[");
    buf_add_text(out, slots);
    buf_add_text(out, "],");
    add_usage(out, usage);
    add_tools(out, answer);
    if (code) {
        buf_add_char(out, ',');
        add_short_error(out, code);
    }
    buf_add_char(out, '}');
}

/* -- frames */

static void end_line(struct buf *out, const struct sim_framing *framing)
{
    buf_add_text(out, framing->crlf ? "\r\n" : "\n");
}

/* `event` may be NULL. */
static void begin_frame(struct buf *out, const struct sim_framing *framing, const char *event)
{
    if (framing->comments) {
        buf_add_text(out, ": keep-alive");
        end_line(out, framing);
        end_line(out, framing);
    }
    if (event) {
        buf_add_text(out, "event: ");
        buf_add_text(out, event);
        end_line(out, framing);
    }
    buf_add_text(out, "data: ");
}

static void end_frame(struct buf *out, const struct sim_framing *framing)
{
    end_line(out, framing);
    end_line(out, framing);
}

static void begin_event(struct buf *out, const struct sim_framing *framing, const struct sim_answer *answer,
                        const char *type)
{
    begin_frame(out, framing, type);
    buf_add_char(out, '{');
    add_text(out, "type", type);
    buf_add_char(out, ',');
    add_text(out, "model", answer->model);
    add_int(out, ",\"created\":", answer->created);
}

void sim_frame_slot(struct buf *out, const struct sim_framing *framing, const struct sim_answer *answer,
                    const struct sim_slot *slot)
{
    begin_event(out, framing, answer,
                slot->code ? "image_generation.partial_failed" : "image_generation.partial_succeeded");
    add_int(out, ",\"image_index\":", slot->index);
    buf_add_char(out, ',');
    if (slot->code)
        add_short_error(out, slot->code);
    else
        add_picture(out, slot);
    buf_add_char(out, '}');
    end_frame(out, framing);
}

void sim_frame_completed(struct buf *out, const struct sim_framing *framing, const struct sim_answer *answer,
                         const struct sim_usage *usage)
{
    begin_event(out, framing, answer, "image_generation.completed");
    buf_add_char(out, ',');
    add_usage(out, usage);
    add_tools(out, answer);
    buf_add_char(out, '}');
    end_frame(out, framing);
}

void sim_frame_done(struct buf *out, const struct sim_framing *framing)
{
    begin_frame(out, framing, NULL);
    buf_add_text(out, "[DONE]");
    end_frame(out, framing);
}

void sim_frame_error(struct buf *out, const struct sim_framing *framing, const struct sim_error *error,
                     const char *request_id, enum sim_error_frame spelling)
{
    if (spelling != SIM_FRAME_BARE)
        begin_frame(out, framing, spelling == SIM_FRAME_EVENT ? "error" : NULL);
    sim_answer_error(out, error, request_id, SIM_BODY_ERROR);
    end_frame(out, framing);
}
