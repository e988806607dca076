#include "common/base/problem.h"

#include <string.h>

#include "common/base/buf.h"

enum { DETAIL_MAX = 1024 };

static const struct {
    const char *code;
    int status;
    bool retryable;
    const char *title;
} rows[PROBLEM_COUNT] = {
#define X(name, code, status, retryable, title) {code, status, retryable, title},
    PROBLEM_LIST(X)
#undef X
};

/* What a client can do about it, for answers that say nothing more specific. */
static const char *const default_details[PROBLEM_COUNT] = {
    [PROBLEM_BAD_REQUEST] = "The request does not follow RFC 9110 and RFC 9112.",
    [PROBLEM_LENGTH_REQUIRED] = "Send the body with Content-Length or with Transfer-Encoding: chunked.",
    [PROBLEM_BODY_TOO_LARGE] = "The body is longer than this server accepts. Send a shorter one.",
    [PROBLEM_URI_TOO_LONG] = "The request target is longer than this server accepts. Send a shorter path or query.",
    [PROBLEM_EXPECTATION_FAILED] = "The only supported expectation is 100-continue.",
    [PROBLEM_HEADERS_TOO_LARGE] = "The header is longer than this server accepts. Send fewer or shorter fields.",
    [PROBLEM_REQUEST_TIMEOUT] = "The whole request must arrive within the server's time limit. Send it again.",
    [PROBLEM_METHOD_UNKNOWN] = "This server knows GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS.",
    [PROBLEM_VERSION_UNSUPPORTED] = "Use HTTP/1.1 or HTTP/1.0.",
    [PROBLEM_NOT_FOUND] = "No resource has this path. Check its spelling.",
    [PROBLEM_METHOD_NOT_ALLOWED] = "The Allow header lists the methods of this resource.",
    [PROBLEM_TOO_MANY_CONNECTIONS] = "Close connections that are not needed, or retry later.",
    [PROBLEM_INTERNAL] = "The fault is in the server, not in the request. Its log names the request_id.",
    [PROBLEM_INVALID_JSON] = "Send one JSON object in UTF-8.",
    [PROBLEM_INVALID_LAST_EVENT_ID] = "Send the id of the last event received, or none to get all events.",
    [PROBLEM_WEBHOOK_NOT_FOUND] = "The task has no webhook, or its deliveries have expired.",
    [PROBLEM_PICTURE_NOT_FOUND] = "No picture has this address. It may have expired or been deleted.",
    [PROBLEM_UPLOAD_NOT_FOUND] = "No upload of this client has this id. It may have expired or been erased.",
    [PROBLEM_STORAGE_UNAVAILABLE] = "The picture cannot be read at the moment. Retry later.",
    [PROBLEM_UPLOADS_OFF] = "It keeps no pictures. Its operator can set STORAGE; until then, urls takes links only.",
    [PROBLEM_UPLOAD_CONTENT_TYPE] = "Send the bytes of one image as image/*, or one file as multipart/form-data.",
    [PROBLEM_INVALID_MULTIPART] = "Send one file as multipart/form-data, with the closing boundary (RFC 7578).",
    [PROBLEM_IMAGE_DIMENSIONS] =
        "Send at most 36,000,000 pixels; each side at least 15, and at most 16 times the other one.",
    [PROBLEM_UPLOADS_PER_DAY] = "Wait until 00:00 UTC, as long as Retry-After says.",
    [PROBLEM_TOO_MANY_UPLOADS] = "Wait as long as Retry-After says, and send the image again.",
    [PROBLEM_NOT_AN_IMAGE] = "Send JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or HEIF. The type is that of the first bytes.",
    [PROBLEM_IMAGE_DAMAGED] = "Its header is cut off or cannot be read. Send the whole file.",
    [PROBLEM_UNKNOWN_UPLOAD] =
        "An upload is kept for 24 hours after its last use, for the client that sent it. Send the image again.",
    [PROBLEM_INPUTS_TOO_LARGE] =
        "Uploads and data URLs of one request may have 60 MB together, as base64. Send fewer or smaller images.",
    [PROBLEM_TASK_NOT_FOUND] = "No task has this id. It may have expired or been deleted.",
    [PROBLEM_NOT_ACCEPTABLE] = "Add the type of the response to Accept, or send no Accept.",
    [PROBLEM_UNAUTHORIZED] = "Send a valid key in the header Authorization: Bearer <key>.",
    [PROBLEM_TASK_ID_CONFLICT] = "Use a new id for a new request, or send the first request of this id unchanged.",
    [PROBLEM_TASK_FINAL] = "A task that has ended cannot be cancelled. Its result can be read.",
    [PROBLEM_TASK_LIVE] = "Cancel the task or wait for its end, and then repeat the request.",
    [PROBLEM_CONTENT_TYPE] = "Send JSON in UTF-8 with the header Content-Type: application/json.",
    [PROBLEM_CONTENT_ENCODING] = "Send the body without compression and without Content-Encoding.",
    [PROBLEM_INVALID_FIELDS] = "Correct the fields listed in errors.",
    [PROBLEM_QUEUE_FULL] = "The gateway's limit of waiting tasks is reached. Wait as long as Retry-After says.",
    [PROBLEM_CLIENT_QUEUE_FULL] =
        "This client's limit of waiting and running tasks is reached. Retry when one has ended.",
    [PROBLEM_QUEUE_PAUSED] = "An operator has paused the queue. Wait as long as Retry-After says.",
    [PROBLEM_RATE_LIMITED] = "This client's requests per minute are used up. Wait as long as Retry-After says.",
    [PROBLEM_TOO_MANY_STREAMS] = "This client's limit of open streams is reached. Close one and retry.",
    [PROBLEM_IMAGES_PER_DAY] = "Request fewer images, or wait until 00:00 UTC, as long as Retry-After says.",
    [PROBLEM_BUDGET_EXHAUSTED] =
        "Request a cheaper task, or wait as long as Retry-After says. Arkrelay-Spending lists this client's limits.",
    [PROBLEM_PRICE_UNKNOWN] = "Use a model that GET /models lists with a price, or ask the operator to add one.",
    [PROBLEM_TASK_NOT_FAILED] = "The task has ended with a result. Submit a new task to get another one.",
    [PROBLEM_INVALID_QUERY] = "Correct the parameters in the query of the request target.",
    [PROBLEM_STORE_UNAVAILABLE] = "Redis does not answer. Wait as long as Retry-After says.",
    [PROBLEM_DRAINING] = "This gateway takes no new tasks. Retry on a new connection.",
};

const char *problem_code(enum problem problem)
{
    return rows[problem].code;
}

int problem_status(enum problem problem)
{
    return rows[problem].status;
}

const char *problem_title(enum problem problem)
{
    return rows[problem].title;
}

const char *problem_advice(enum problem problem)
{
    return default_details[problem];
}

bool problem_retryable(enum problem problem)
{
    return rows[problem].retryable;
}

static void add_problem_text(struct buf *out, const char *name, const char *text)
{
    buf_add_text_member(out, name, text, strlen(text));
}

static void add_field_errors(struct buf *out, const struct problem_field *fields, size_t count)
{
    buf_add_text(out, ",\"errors\":[");
    for (size_t i = 0; i < count; i++) {
        buf_add_text(out, i ? ",{\"pointer\":" : "{\"pointer\":");
        buf_add_json(out, fields[i].pointer, strlen(fields[i].pointer));
        add_problem_text(out, "detail", fields[i].detail);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

/* The first of the invalid fields, and how many more there are. */
static void add_field_summary(struct buf *out, const struct problem_field *fields, size_t count)
{
    struct buf detail;

    buf_init(&detail, DETAIL_MAX);
    buf_addf(&detail, *fields->pointer ? "%s: %s" : "%s%s", fields->pointer, fields->detail);
    if (count > 1)
        buf_addf(&detail, " (and %zu more error%s)", count - 1, count > 2 ? "s" : "");
    add_problem_text(out, "detail", buf_text(&detail));
    buf_fail(out, buf_error(&detail));
    buf_deinit(&detail);
}

static void add_detail(struct buf *out, const struct problem_details *details)
{
    const char *known = default_details[details->problem];

    if (details->detail)
        add_problem_text(out, "detail", details->detail);
    else if (details->field_count)
        add_field_summary(out, details->fields, details->field_count);
    else
        add_problem_text(out, "detail", known ? known : problem_title(details->problem));
}

void problem_write(struct buf *out, const struct problem_details *details)
{
    enum problem problem = details->problem;

    buf_addf(out, "{\"type\":\"urn:arkrelay:problem:%s\"", problem_code(problem));
    add_problem_text(out, "title", problem_title(problem));
    buf_add_int_member(out, "status", problem_status(problem));
    add_detail(out, details);
    add_problem_text(out, "code", problem_code(problem));
    buf_add_bool_member(out, "retryable", problem_retryable(problem));
    add_problem_text(out, "request_id", details->request_id);
    if (details->field_count)
        add_field_errors(out, details->fields, details->field_count);
    buf_add_char(out, '}');
}
