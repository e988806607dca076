/* POST /uploads: an image for the urls of later requests
 *
 * The key and the client's limits are checked before the body is read (http/exchange.h). The body is the image itself, or a form with one
 * file; other fields of a form are ignored. It goes to the storage while it arrives: reading pauses while the disk is busy.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/http/multipart.h"
#include "common/http/server.h"
#include "common/storage/record.h"
#include "common/task/storage_check.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/upload_room.h"
#include "gateway/request/headers.h"
#include "gateway/response/respond.h"
#include "gateway/response/timestamp.h"
#include "gateway/uploads/upload.h"
#include "gateway/uploads/uploads.h"

enum { RESPONSE_MAX = 1024, PARTS_MAX = 16 };

_Static_assert((int)API_UPLOAD_BODY_MAX >= (int)UPLOAD_BYTES_MAX, "the body has the image, and the framing of a form");
_Static_assert((int)HTTP_BODY_PIECE_MAX + (int)HTTP_BOUNDARY_MAX + 4 <= (int)UPLOAD_PIECE_MAX,
               "a form may hold back a part of its delimiter");

struct reception {
    struct http_exchange *exchange;
    struct upload *upload;
    struct http_multipart *form; /* NULL: the body is the image */
    bool in_file, has_file;      /* of the form */
    enum problem flaw;           /* of the form; PROBLEM_COUNT: none */
    const char *detail;
};

static void reception_free(struct reception *reception)
{
    upload_destroy(reception->upload);
    free(reception->form);
    free(reception);
}

static void reception_on_closed(void *arg)
{
    reception_free(arg);
}

static void reception_refuse(struct reception *reception, enum problem problem, const char *detail)
{
    respond_problem(reception->exchange, problem, detail);
    reception_free(reception);
}

/* -- the answer */

static void write_upload(struct buf *out, const struct upload_result *result)
{
    const struct storage_about *about = result->about;

    buf_addf(out,
             "{\"id\":\"upload:%s\",\"type\":\"%s\",\"bytes\":%" PRId64 ",\"width\":%" PRIu32 ",\"height\":%" PRIu32,
             about->sha256, image_media_type(about->image.type), about->size, about->image.width, about->image.height);
    timestamp_add(out, "expires_at", result->expires_at_ms);
    buf_add_char(out, '}');
}

static void reception_on_uploaded(const struct upload_result *result, void *arg)
{
    struct reception *reception = arg;
    struct buf body;

    if (result->problem == PROBLEM_UPLOADS_PER_DAY) {
        respond_problem_after(reception->exchange, result->problem, result->wait_ms);
    } else if (result->problem != PROBLEM_COUNT) {
        respond_problem(reception->exchange, result->problem, result->detail);
    } else {
        buf_init(&body, RESPONSE_MAX);
        write_upload(&body, result);
        respond_json(reception->exchange, result->is_new ? 201 : 200, &body);
        buf_deinit(&body);
    }
    reception_free(reception);
}

static void reception_on_room(void *arg)
{
    const struct reception *reception = arg;

    http_body_resume(reception->exchange);
}

/* -- the form */

static bool form_fails(struct reception *reception, const char *detail)
{
    reception->flaw = PROBLEM_INVALID_MULTIPART;
    reception->detail = detail;
    return false;
}

static bool reception_on_part(const struct http_multipart_part *part, void *arg)
{
    struct reception *reception = arg;

    if (part->is_file && reception->has_file)
        return form_fails(reception, "The form has more than one file. Send one request for each image.");
    reception->in_file = part->is_file;
    reception->has_file |= part->is_file;
    return true;
}

static bool reception_on_content(const char *bytes, size_t len, void *arg)
{
    struct reception *reception = arg;

    if (reception->in_file)
        upload_write(reception->upload, bytes, len);
    return true;
}

static bool reception_on_part_end(void *arg)
{
    struct reception *reception = arg;

    reception->in_file = false;
    return true;
}

/* False: the form is refused, and `flaw` says why. */
static bool check_form(struct reception *reception, enum http_parse parse)
{
    const struct http_multipart *form = reception->form;

    if (parse != HTTP_PARSE_FAILED)
        return true;
    if (form->error == HTTP_MULTIPART_TOO_LARGE)
        reception->flaw = PROBLEM_BODY_TOO_LARGE;
    else if (form->error == HTTP_MULTIPART_MALFORMED)
        (void)form_fails(reception, form->detail);
    return false;
}

static struct http_multipart *create_form(struct reception *reception, const char *boundary)
{
    const struct http_multipart_limits limits = {.parts_max = PARTS_MAX, .total_max = API_UPLOAD_BODY_MAX};
    const struct http_multipart_handler handler = {.on_part = reception_on_part,
                                                   .on_content = reception_on_content,
                                                   .on_part_end = reception_on_part_end,
                                                   .arg = reception};
    struct http_multipart *form = malloc(sizeof(*form));

    if (form)
        http_multipart_init(form, boundary, &limits, &handler);
    return form;
}

/* -- the body */

static void reception_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct reception *reception = arg;

    if (!reception->form)
        upload_write(reception->upload, bytes, len);
    else if (!check_form(reception, http_multipart_run(reception->form, bytes, len))) {
        reception_refuse(reception, reception->flaw, reception->detail);
        return;
    }
    if (upload_is_full(reception->upload))
        http_body_pause(reception->exchange);
}

static void reception_on_end(void *arg)
{
    struct reception *reception = arg;

    if (reception->form && !check_form(reception, http_multipart_finish(reception->form)))
        reception_refuse(reception, reception->flaw, reception->detail);
    else if (reception->form && !reception->has_file)
        reception_refuse(reception, PROBLEM_INVALID_MULTIPART, "The form has no file: no part of it has a file name.");
    else
        upload_end(reception->upload);
}

/* -- the head */

/* False: the body is neither an image nor a form. `boundary` is "" for an image. Clients that do not know the type of a file say
 * application/octet-stream; the type that counts is that of the bytes. */
static bool read_type(const struct http_request *request, char boundary[HTTP_BOUNDARY_SIZE])
{
    struct http_text type = http_request_header(request, "Content-Type");

    boundary[0] = '\0';
    if (type.data && http_multipart_is_form(type))
        return http_multipart_boundary(type, boundary);
    return media_is_image(type.data, type.len);
}

static bool check_upload_head(struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    char boundary[HTTP_BOUNDARY_SIZE];
    enum problem problem = PROBLEM_COUNT;

    if (!request->has_content_length && !request->chunked)
        problem = PROBLEM_LENGTH_REQUIRED;
    else if (request->has_content_length && request->content_length > API_UPLOAD_BODY_MAX)
        problem = PROBLEM_BODY_TOO_LARGE;
    else if (headers_have_encoding(request))
        problem = PROBLEM_CONTENT_ENCODING;
    else if (!read_type(request, boundary))
        problem = PROBLEM_UPLOAD_CONTENT_TYPE;
    if (problem != PROBLEM_COUNT)
        respond_problem(exchange, problem, NULL);
    return problem == PROBLEM_COUNT;
}

/* Frees the reception and answers if it cannot begin. */
static void begin_reception(struct reception *reception, struct uploads *uploads, const char *boundary)
{
    const struct upload_events events = {
        .on_room = reception_on_room, .on_end = reception_on_uploaded, .arg = reception};
    const struct http_body_sink sink = {.on_bytes = reception_on_bytes, .on_end = reception_on_end};
    const char *client = admission_client(reception->exchange)->name;
    int err = 0;

    if (*boundary && !(reception->form = create_form(reception, boundary)))
        err = ERR_NO_MEMORY;
    if (!err)
        err = upload_start(uploads, client, &events, &reception->upload);
    if (err) {
        reception_refuse(reception, err == ERR_TOO_LONG ? PROBLEM_TOO_MANY_UPLOADS : PROBLEM_INTERNAL, NULL);
        return;
    }
    http_exchange_on_closed(reception->exchange, reception_on_closed, reception);
    http_body_take(reception->exchange, &sink, API_UPLOAD_BODY_MAX);
}

static void upload_on_admitted(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const struct api_context *context = arg;
    char boundary[HTTP_BOUNDARY_SIZE];
    struct reception *reception;

    if (!upload_room_granted(exchange, reply))
        return;
    reception = calloc(1, sizeof(*reception));
    if (!reception) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    reception->exchange = exchange;
    reception->flaw = PROBLEM_COUNT;
    (void)read_type(http_exchange_request(exchange), boundary);
    begin_reception(reception, context->uploads, boundary);
}

void api_upload(struct http_exchange *exchange, void *arg)
{
    struct api_context *context = arg;

    if (!context->uploads)
        respond_problem(exchange, PROBLEM_UPLOADS_OFF, NULL);
    else if (context->draining)
        respond_problem(exchange, PROBLEM_DRAINING, NULL);
    else if (storage_check_failed(context->storage_check))
        respond_problem(exchange, PROBLEM_STORAGE_UNAVAILABLE, UPLOADS_OTHER_STORAGE);
    else if (!respond_if_unacceptable(exchange, "application", "json") && check_upload_head(exchange))
        upload_room_ask(context, exchange, upload_on_admitted); /* before the body is read */
}
