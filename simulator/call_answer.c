#include "simulator/call_answer.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "simulator/delivery.h"
#include "simulator/image_url.h"
#include "simulator/state.h"
#include "simulator/stats.h"

enum { SMALL_MAX = 64 * 1024 };

static const char type_json[] = "application/json; charset=utf-8";

static struct sim_framing framing_of(const struct sim_call *call)
{
    return (struct sim_framing){.crlf = call->behaviour.crlf, .comments = call->behaviour.comments};
}

static struct sim_answer answer_of(const struct sim_call *call)
{
    return (struct sim_answer){.model = call->request.model->id,
                               .created = sim_now_ms(call->sim) / 1000,
                               .web_search = call->request.web_search};
}

static void begin_head(struct sim_call *call, int status)
{
    char elapsed[24];

    if (!sim_delivery_is_open(call->delivery))
        return;
    (void)snprintf(elapsed, sizeof(elapsed), "%lld", (long long)(clock_monotonic_ms() - call->started_ms));
    sim_delivery_add_header(call->delivery, "x-request-id", call->request_id);
    sim_delivery_add_header(call->delivery, "x-envoy-upstream-service-time", elapsed);
    if (*call->client_request_id)
        sim_delivery_add_header(call->delivery, "x-client-request-id", call->client_request_id);
    sim_stats_status(call->sim->stats, call->number, status);
}

static void respond(struct sim_call *call, int status, const char *type, const struct buf *body)
{
    begin_head(call, status);
    if (buf_error(body))
        sim_delivery_cut(call->delivery);
    else
        sim_delivery_respond(call->delivery, status, type, buf_text(body), body->len);
}

/* -- errors */

static const char *type_of(enum sim_body body)
{
    switch (body) {
    case SIM_BODY_HTML:
        return "text/html";
    case SIM_BODY_EMPTY:
        return NULL;
    case SIM_BODY_ERROR:
    case SIM_BODY_UNWRAPPED:
    case SIM_BODY_GARBAGE:
        break;
    }
    return type_json;
}

/* Each header is "Name: value"; a line without a colon is skipped. */
static void add_scripted_headers(struct sim_call *call)
{
    const json_t *line;
    size_t index;

    json_array_foreach (call->behaviour.headers, index, line) {
        const char *text = json_string_value(line), *colon = text ? strchr(text, ':') : NULL;
        char name[64];

        if (!colon || (size_t)(colon - text) >= sizeof(name))
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)(colon - text), text);
        sim_delivery_add_header(call->delivery, name, colon + 1 + strspn(colon + 1, " "));
    }
}

void sim_call_answer_raw(struct sim_call *call)
{
    const struct sim_behaviour *behaviour = &call->behaviour;
    const char *type = *behaviour->type ? behaviour->type : type_json, *body = json_string_value(behaviour->raw);
    int status = behaviour->status == SIM_UNSET ? 200 : (int)behaviour->status;
    size_t len = json_string_length(behaviour->raw);

    begin_head(call, status);
    add_scripted_headers(call);
    if (behaviour->stays_open) {
        sim_delivery_begin(call->delivery, status, type);
        sim_delivery_write(call->delivery, body, len);
    } else {
        sim_delivery_respond(call->delivery, status, type, body, len);
    }
}

static void add_error_headers(struct sim_call *call, const struct sim_error *error)
{
    char retry_after[24];

    add_scripted_headers(call);

    if (!strcmp(error->code, "AuthenticationError"))
        sim_delivery_add_header(call->delivery, "x-error-code", "AuthN_MissOrInvalidAuthorizationHeader");
    if (call->behaviour.retry_after == SIM_UNSET)
        return;
    (void)snprintf(retry_after, sizeof(retry_after), "%lld", (long long)call->behaviour.retry_after);
    sim_delivery_add_header(call->delivery, "retry-after", retry_after);
}

void sim_call_answer_error(struct sim_call *call, const struct sim_error *error)
{
    enum sim_body body = (enum sim_body)call->behaviour.body;
    struct buf text;

    buf_init(&text, SMALL_MAX);
    sim_answer_error(&text, error, call->request_id, body);
    add_error_headers(call, error);
    respond(call, error->status, type_of(body), &text);
    buf_deinit(&text);
}

void sim_call_scripted_error(const struct sim_call *call, struct sim_error *error)
{
    const struct sim_behaviour *behaviour = &call->behaviour;
    bool has_status = behaviour->status != SIM_UNSET;

    if (*behaviour->code)
        sim_error_init(error, behaviour->code);
    else
        sim_error_init(error, sim_error_kind_of_status(has_status ? (int)behaviour->status : 500)->code);
    if (has_status)
        error->status = (int)behaviour->status;
    if (*behaviour->message)
        (void)snprintf(error->message, sizeof(error->message), "%s", behaviour->message);
}

/* -- one image */

/* Writes the image in base64, padded to the requested size with zero bytes, which image decoders ignore. */
static bool encode(struct sim_call *call, struct buf *out)
{
    const struct buf *picture = sim_picture(call->sim, call->request.png ? SIM_PNG : SIM_JPEG, call->next);
    size_t len = picture ? picture->len : 0;
    size_t wanted = call->behaviour.big == SIM_UNSET ? 0 : (size_t)call->behaviour.big / 4 * 3;
    size_t padded = wanted > len ? wanted : len;
    unsigned char *bytes = calloc(1, padded + 1), *text = malloc(padded / 3 * 4 + 8);

    if (picture && bytes && text) {
        memcpy(bytes, picture->data, len);
        buf_add(out, text, (size_t)EVP_EncodeBlock(text, bytes, (int)padded));
    }
    free(bytes);
    free(text);
    return out->len && !buf_error(out);
}

/* Points the slot to its image, which is written to `text`. */
static void fill_slot(struct sim_call *call, struct sim_slot *slot, struct buf *text)
{
    const struct sim_image_name name = {.model = call->request.model->name,
                                        .request_id = call->request_id,
                                        .index = slot->index,
                                        .format = call->request.png ? SIM_PNG : SIM_JPEG};

    if (!call->request.b64) {
        sim_image_url_write(text, call->sim->signer, call->sim->public_url, &name, sim_now_ms(call->sim));
        slot->url = buf_text(text);
    } else if (encode(call, text)) {
        slot->b64 = text->data;
        slot->b64_len = text->len;
    } else {
        slot->code = "InternalServiceError";
    }
}

static void write_slot(struct sim_call *call, const struct sim_slot *slot)
{
    struct sim_framing framing = framing_of(call);
    struct sim_answer answer = answer_of(call);

    if (call->request.stream)
        sim_frame_slot(&call->out, &framing, &answer, slot);
    else
        sim_answer_slot(&call->out, slot);
}

static const char *scripted_failure(const struct sim_call *call)
{
    if (*call->behaviour.fail[call->next])
        return call->behaviour.fail[call->next];
    return call->behaviour.zero_images_200 ? "OutputImageSensitiveContentDetected" : NULL;
}

static void count_slot(struct sim_call *call, const struct sim_slot *slot)
{
    sim_stats_image(call->sim->stats, call->number, !slot->code);
    if (slot->code) {
        call->last_failure = slot->code;
        if (sim_error_kind_of(slot->code)->ends_group)
            call->planned = slot->index + 1;
        return;
    }
    if (!call->usage.images)
        sim_stats_charge(call->sim->stats, call->number,
                         sim_model_references_price(call->request.model, call->request.ref_count));
    sim_stats_charge(call->sim->stats, call->number,
                     sim_model_image_price(call->request.model, slot->width, slot->height));
    call->usage.images++;
    call->usage.pixels += (int64_t)slot->width * slot->height;
    sim_window_add(sim_window_of(call->sim, call->request.model), sim_now_ms(call->sim));
}

/* Sends `out`; sends the response head first if it was not sent yet. */
static void flush(struct sim_call *call)
{
    if (!call->has_begun) {
        call->has_begun = true;
        begin_head(call, 200);
        sim_delivery_begin(call->delivery, 200, "text/event-stream");
    }
    if (buf_error(&call->out))
        sim_delivery_cut(call->delivery);
    sim_delivery_write(call->delivery, buf_text(&call->out), call->out.len);
    buf_deinit(&call->out);
}

/* Frames are held back until the first image succeeds: until then the response can still become an HTTP error. */
static void flush_slot(struct sim_call *call, const struct sim_slot *slot)
{
    if (!call->request.stream || !call->usage.images || call->behaviour.body == SIM_BODY_GARBAGE)
        return;
    flush(call);
    if (!slot->code && sim_delivery_is_open(call->delivery))
        sim_stats_delivered(call->sim->stats, call->number, 1);
}

void sim_call_make_picture(struct sim_call *call)
{
    struct sim_slot slot = {.index = call->next,
                            .width = call->request.width,
                            .height = call->request.height,
                            .layer = call->request.layers,
                            .code = scripted_failure(call)};
    struct buf text;

    buf_init(&text, SIM_OUT_MAX);
    if (sim_delivery_is_open(call->delivery)) {
        if (!slot.code)
            fill_slot(call, &slot, &text);
        write_slot(call, &slot);
    }
    buf_deinit(&text);
    count_slot(call, &slot);
    call->next++;
    flush_slot(call, &slot);
}

/* -- the end of a response */

void sim_call_answer_error_frame(struct sim_call *call)
{
    enum sim_error_frame spelling = (enum sim_error_frame)call->behaviour.error_frame;
    struct sim_framing framing = framing_of(call);
    struct sim_error error;

    sim_call_scripted_error(call, &error);
    if (!*call->behaviour.code && call->last_failure)
        sim_error_init(&error, call->last_failure);
    sim_frame_error(&call->out, &framing, &error, call->request_id,
                    spelling == SIM_FRAME_NONE ? SIM_FRAME_DATA : spelling);
    flush(call);
    sim_delivery_end(call->delivery);
}

static void end_stream(struct sim_call *call)
{
    struct sim_framing framing = framing_of(call);
    struct sim_answer answer = answer_of(call);

    if (!call->behaviour.no_completed)
        sim_frame_completed(&call->out, &framing, &answer, &call->usage);
    if (!call->behaviour.no_done)
        sim_frame_done(&call->out, &framing);
    flush(call);
    sim_delivery_end(call->delivery);
}

static void respond_with_json(struct sim_call *call)
{
    const char *code = call->usage.images ? NULL : call->last_failure;
    bool was_open = sim_delivery_is_open(call->delivery);
    struct sim_answer answer = answer_of(call);
    struct buf body;

    buf_init(&body, SIM_OUT_MAX);
    if (buf_error(&call->out))
        sim_delivery_cut(call->delivery);
    sim_answer_body(&body, &answer, buf_text(&call->out), &call->usage, code);
    respond(call, 200, type_json, &body);
    buf_deinit(&body);
    if (was_open && !sim_delivery_was_cut(call->delivery))
        sim_stats_delivered(call->sim->stats, call->number, call->usage.images);
}

static void respond_with_garbage(struct sim_call *call)
{
    struct sim_error none = {.status = 200};
    struct buf body;

    buf_init(&body, SMALL_MAX);
    sim_answer_error(&body, &none, call->request_id, SIM_BODY_GARBAGE);
    respond(call, 200, type_json, &body);
    buf_deinit(&body);
}

void sim_call_answer_rest(struct sim_call *call)
{
    struct sim_error error;

    if (!call->usage.images && !call->behaviour.zero_images_200) {
        sim_error_init(&error, call->last_failure ? call->last_failure : "InternalServiceError");
        sim_call_answer_error(call, &error);
    } else if (call->behaviour.body == SIM_BODY_GARBAGE) {
        respond_with_garbage(call);
    } else if (!call->request.stream) {
        respond_with_json(call);
    } else if (call->usage.images) {
        end_stream(call);
    } else {
        sim_call_answer_error_frame(call);
    }
}
