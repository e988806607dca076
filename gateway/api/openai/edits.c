/* POST /v1/images/edits: a form with images and the fields of a request; makes images from them
 *
 * Each image of the form is an upload (uploads/upload.h), so the tasks name it by its digest, and a repeated request has the same body.
 * The key and the client's limits are checked before the body is read.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/multipart.h"
#include "common/http/server.h"
#include "common/storage/record.h"
#include "common/task/storage_check.h"
#include "common/task/task_spec.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/openai/edit_form.h"
#include "gateway/api/openai/endpoints.h"
#include "gateway/api/openai/images.h"
#include "gateway/api/openai/order.h"
#include "gateway/api/upload_room.h"
#include "gateway/request/headers.h"
#include "gateway/response/respond.h"
#include "gateway/uploads/upload.h"
#include "gateway/uploads/uploads.h"

enum { PARTS_MAX = 64 };

struct edit;

/* A file of the form. */
struct edit_image {
    struct edit *edit;
    struct upload *upload;
    char sha256[SHA256_HEX_SIZE]; /* "": not uploaded yet */
};

struct edit {
    struct http_exchange *exchange;
    const struct api_context *context;
    struct http_multipart multipart;
    struct edit_form form;
    struct validate_errors errors;
    enum edit_part part; /* that arrives; EDIT_REFUSED: none */
    struct edit_image images[TASK_URLS_MAX];
    size_t count, uploaded;
    const struct edit_image *awaited; /* the body is paused until this image has room */
    enum problem flaw;                /* why the form is refused; PROBLEM_COUNT: its fields are */
    bool has_ended;                   /* the body */
};

static void edit_free(struct edit *edit)
{
    for (size_t i = 0; i < edit->count; i++)
        upload_destroy(edit->images[i].upload);
    edit_form_deinit(&edit->form);
    free(edit);
}

static void edit_on_closed(void *arg)
{
    edit_free(arg);
}

static void count_refusal(const struct api_context *context, enum problem problem)
{
    orders_count(context->orders, OPENAI_EDITS, problem_retryable(problem) ? OPENAI_REFUSED : OPENAI_INVALID);
}

static void edit_refuse(struct edit *edit, enum problem problem, const char *detail, int64_t wait_ms)
{
    count_refusal(edit->context, problem);
    if (wait_ms)
        respond_problem_after(edit->exchange, problem, wait_ms);
    else
        respond_problem(edit->exchange, problem, detail);
    edit_free(edit);
}

static void edit_refuse_fields(struct edit *edit)
{
    orders_count(edit->context->orders, OPENAI_EDITS, OPENAI_INVALID);
    respond_field_errors(edit->exchange, edit->errors.fields, edit->errors.count);
    edit_free(edit);
}

/* -- the order */

static void edit_start_order(struct edit *edit)
{
    char url[sizeof(TASK_UPLOAD_PREFIX) + SHA256_HEX_SIZE];
    json_t *root;

    for (size_t i = 0; i < edit->count; i++) {
        (void)snprintf(url, sizeof(url), "%s%s", TASK_UPLOAD_PREFIX, edit->images[i].sha256);
        edit_form_set_image(&edit->form, i, url);
    }
    root = edit_form_finish(&edit->form);
    if (!root) {
        edit_refuse(edit, PROBLEM_INTERNAL, NULL, 0);
        return;
    }
    openai_images_start(edit->context, edit->exchange, root, OPENAI_EDITS, &edit->errors);
    edit_free(edit);
}

static void edit_check_complete(struct edit *edit)
{
    if (edit->has_ended && edit->uploaded == edit->count)
        edit_start_order(edit);
}

/* -- an image */

static void edit_image_on_uploaded(const struct upload_result *result, void *arg)
{
    struct edit_image *image = arg;
    struct edit *edit = image->edit;

    if (result->problem != PROBLEM_COUNT) {
        edit_refuse(edit, result->problem, result->detail, result->wait_ms);
        return;
    }
    memcpy(image->sha256, result->about->sha256, sizeof(image->sha256));
    edit->uploaded++;
    edit_check_complete(edit);
}

static void edit_image_on_room(void *arg)
{
    const struct edit_image *image = arg;

    if (image->edit->awaited != image)
        return;
    image->edit->awaited = NULL;
    http_body_resume(image->edit->exchange);
}

static bool begin_image(struct edit *edit)
{
    struct edit_image *image = &edit->images[edit->count];
    const struct upload_events events = {edit_image_on_room, edit_image_on_uploaded, image};
    int err;

    image->edit = edit;
    err = upload_start(edit->context->uploads, admission_client(edit->exchange)->name, &events, &image->upload);
    if (err) {
        edit->flaw = err == ERR_TOO_LONG ? PROBLEM_TOO_MANY_UPLOADS : PROBLEM_INTERNAL;
        return false;
    }
    edit->count++;
    return true;
}

/* -- the parts of the form */

static bool edit_on_part(const struct http_multipart_part *part, void *arg)
{
    struct edit *edit = arg;

    edit->part = edit_form_begin_part(&edit->form, part);
    return edit->part == EDIT_TEXT || (edit->part == EDIT_IMAGE && begin_image(edit));
}

static bool edit_on_content(const char *bytes, size_t len, void *arg)
{
    struct edit *edit = arg;

    if (edit->part == EDIT_TEXT)
        edit_form_add_text(&edit->form, bytes, len);
    else
        upload_write(edit->images[edit->count - 1].upload, bytes, len);
    return true;
}

static bool edit_on_part_end(void *arg)
{
    struct edit *edit = arg;

    if (edit->part == EDIT_TEXT)
        edit_form_end_text(&edit->form);
    else
        upload_end(edit->images[edit->count - 1].upload);
    edit->part = EDIT_REFUSED;
    return true;
}

/* -- the body */

/* False: the form is refused, and edit is freed. */
static bool edit_check_form(struct edit *edit, enum http_parse parse)
{
    const struct http_multipart *multipart = &edit->multipart;

    if (parse != HTTP_PARSE_FAILED)
        return true;
    if (multipart->error == HTTP_MULTIPART_MALFORMED)
        edit_refuse(edit, PROBLEM_INVALID_MULTIPART, multipart->detail, 0);
    else if (multipart->error == HTTP_MULTIPART_TOO_LARGE)
        edit_refuse(edit, PROBLEM_BODY_TOO_LARGE, NULL, 0);
    else if (edit->flaw != PROBLEM_COUNT)
        edit_refuse(edit, edit->flaw, NULL, 0);
    else
        edit_refuse_fields(edit);
    return false;
}

static void edit_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct edit *edit = arg;
    const struct edit_image *image;

    if (!edit_check_form(edit, http_multipart_run(&edit->multipart, bytes, len)) || edit->part != EDIT_IMAGE)
        return;
    image = &edit->images[edit->count - 1];
    if (upload_is_full(image->upload)) {
        edit->awaited = image;
        http_body_pause(edit->exchange);
    }
}

static void edit_on_end(void *arg)
{
    struct edit *edit = arg;

    if (!edit_check_form(edit, http_multipart_finish(&edit->multipart)))
        return;
    edit->has_ended = true;
    edit_check_complete(edit);
}

/* -- the head */

static enum problem edit_head_problem(const struct http_request *request, char boundary[HTTP_BOUNDARY_SIZE])
{
    struct http_text type = http_request_header(request, "Content-Type");

    if (!request->has_content_length && !request->chunked)
        return PROBLEM_LENGTH_REQUIRED;
    if (headers_have_encoding(request))
        return PROBLEM_CONTENT_ENCODING;
    return type.data && http_multipart_boundary(type, boundary) ? PROBLEM_COUNT : PROBLEM_UPLOAD_CONTENT_TYPE;
}

static void edit_on_admitted(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    static const struct http_body_sink sink = {edit_on_bytes, edit_on_end};
    const struct http_multipart_limits limits = {.parts_max = PARTS_MAX, .total_max = API_EDIT_BODY_MAX};
    const struct api_context *context = arg;
    char boundary[HTTP_BOUNDARY_SIZE];
    struct edit *edit;

    if (!upload_room_granted(exchange, reply)) {
        count_refusal(context, PROBLEM_UPLOADS_PER_DAY);
        return;
    }
    edit = calloc(1, sizeof(*edit));
    if (!edit) {
        count_refusal(context, PROBLEM_INTERNAL);
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    (void)edit_head_problem(http_exchange_request(exchange), boundary);
    edit->exchange = exchange;
    edit->context = context;
    edit->flaw = PROBLEM_COUNT;
    validate_begin(&edit->errors);
    edit_form_init(&edit->form, &edit->errors);
    edit->part = EDIT_REFUSED;
    http_multipart_init(&edit->multipart, boundary, &limits,
                        &(struct http_multipart_handler){edit_on_part, edit_on_content, edit_on_part_end, edit});
    http_exchange_on_closed(exchange, edit_on_closed, edit);
    http_body_take(exchange, &sink, API_EDIT_BODY_MAX);
}

void api_openai_edits(struct http_exchange *exchange, void *arg)
{
    struct api_context *context = arg;
    char boundary[HTTP_BOUNDARY_SIZE];
    enum problem problem = !context->uploads   ? PROBLEM_UPLOADS_OFF
                           : context->draining ? PROBLEM_DRAINING
                           : storage_check_failed(context->storage_check)
                               ? PROBLEM_STORAGE_UNAVAILABLE
                               : edit_head_problem(http_exchange_request(exchange), boundary);

    if (problem == PROBLEM_COUNT) {
        upload_room_ask(context, exchange, edit_on_admitted);
        return;
    }
    count_refusal(context, problem);
    respond_problem(exchange, problem,
                    problem == PROBLEM_UPLOAD_CONTENT_TYPE   ? "Send the fields and the images as multipart/form-data."
                    : problem == PROBLEM_STORAGE_UNAVAILABLE ? UPLOADS_OTHER_STORAGE
                                                             : NULL);
}
