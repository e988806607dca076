/* problem - the list of errors that a client can get, and the writer of problem+json (RFC 9457)
 *
 * A row has the stable code used in HTTP answers and `error` events, the HTTP status (0: only used in events), whether a retry may
 * succeed, and the title. Codes and titles are part of the API: docs/api.md and docs/openapi.json list them.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_PROBLEM_H
#define ARKRELAY_BASE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* clang-format off */
#define PROBLEM_LIST(X)                                                                                                \
    /* HTTP itself */                                                                                                  \
    X(BAD_REQUEST,            "bad_request",            400, false, "The request is not well-formed HTTP")             \
    X(LENGTH_REQUIRED,        "length_required",        411, false, "A body needs Content-Length or chunked encoding") \
    X(BODY_TOO_LARGE,         "body_too_large",         413, false, "The body is too large")                           \
    X(URI_TOO_LONG,           "uri_too_long",           414, false, "The request target is too long")                  \
    X(EXPECTATION_FAILED,     "expectation_failed",     417, false, "This expectation is not supported")               \
    X(HEADERS_TOO_LARGE,      "headers_too_large",      431, false, "The request header is too large")                 \
    X(REQUEST_TIMEOUT,        "request_timeout",        408, true,  "The request did not arrive in time")              \
    X(METHOD_UNKNOWN,         "method_unknown",         501, false, "This method is not implemented")                  \
    X(VERSION_UNSUPPORTED,    "version_unsupported",    505, false, "This HTTP version is not supported")              \
    X(NOT_FOUND,              "not_found",              404, false, "There is no such resource")                       \
    X(METHOD_NOT_ALLOWED,     "method_not_allowed",     405, false, "This resource does not allow this method")        \
    X(TOO_MANY_CONNECTIONS,   "too_many_connections",   503, true,  "Too many connections are open")                   \
    X(INTERNAL,               "internal",               500, true,  "The gateway failed to handle the request")        \
    /* the API */                                                                                                      \
    X(INVALID_JSON,           "invalid_json",           400, false, "The body is not a JSON object")                   \
    X(INVALID_LAST_EVENT_ID,  "invalid_last_event_id",  400, false, "Last-Event-ID is not a valid event id")           \
    X(TASK_NOT_FOUND,         "task_not_found",         404, false, "There is no such task")                           \
    X(NOT_ACCEPTABLE,         "not_acceptable",         406, false, "Accept excludes the type of the response")        \
    X(UNAUTHORIZED,           "unauthorized",           401, false, "A valid API key is required")                     \
    X(TASK_ID_CONFLICT,       "task_id_conflict",       409, false, "This task_id belongs to another request")         \
    X(TASK_FINAL,             "task_final",             409, false, "The task has ended already")                      \
    X(TASK_LIVE,              "task_live",              409, false, "The task has not ended yet")                      \
    X(CONTENT_TYPE,           "content_type",           415, false, "The body must be application/json in UTF-8")      \
    X(CONTENT_ENCODING,       "content_encoding",       415, false, "Content-Encoding is not supported")               \
    X(INVALID_FIELDS,         "invalid_fields",         422, false, "The request has invalid fields")                  \
    X(QUEUE_FULL,             "queue_full",             503, true,  "The queue is full")                               \
    X(CLIENT_QUEUE_FULL,      "client_queue_full",      429, true,  "This client has too many tasks already")          \
    X(QUEUE_PAUSED,           "queue_paused",           503, true,  "The queue is paused")                             \
    X(RATE_LIMITED,           "rate_limited",           429, true,  "This client has sent too many requests")          \
    X(TOO_MANY_STREAMS,       "too_many_streams",       429, true,  "This client has too many streams open")           \
    X(IMAGES_PER_DAY,         "images_per_day",         429, true,  "This client's daily image limit is used up")      \
    X(BUDGET_EXHAUSTED,       "budget_exhausted",       429, true,  "A spending limit leaves no room for this task")  \
    X(PRICE_UNKNOWN,          "price_unknown",          422, false, "A spending limit applies, and the price is not known") \
    X(TASK_NOT_FAILED,        "task_not_failed",        409, false, "Only failed or cancelled tasks can be retried")   \
    X(INVALID_QUERY,          "invalid_query",          400, false, "A query parameter is not valid")                  \
    X(STORE_UNAVAILABLE,      "store_unavailable",      503, true,  "Redis is not available")                          \
    X(WEBHOOK_NOT_FOUND,      "webhook_not_found",      404, false, "There is no such webhook")                        \
    X(PICTURE_NOT_FOUND,      "picture_not_found",      404, false, "There is no such picture")                        \
    X(UPLOAD_NOT_FOUND,       "upload_not_found",       404, false, "The client has no such upload")                   \
    X(STORAGE_UNAVAILABLE,    "storage_unavailable",    503, true,  "The storage of pictures is not available")        \
    X(UPLOADS_OFF,            "uploads_off",            501, false, "This server takes no uploads")                    \
    X(UPLOAD_CONTENT_TYPE,    "upload_content_type",    415, false, "The body must be an image or a form with a file") \
    X(INVALID_MULTIPART,      "invalid_multipart",      400, false, "The form is not valid")                           \
    X(NOT_AN_IMAGE,           "not_an_image",           415, false, "The file is not an image of a known type")        \
    X(IMAGE_DAMAGED,          "image_damaged",          422, false, "The image is damaged")                            \
    X(IMAGE_DIMENSIONS,       "image_dimensions",       422, false, "ARK takes no images of these dimensions")         \
    X(UPLOADS_PER_DAY,        "uploads_per_day",        429, true,  "This client's daily upload limit is used up")     \
    X(TOO_MANY_UPLOADS,       "too_many_uploads",       503, true,  "Too many uploads are in progress")                \
    X(UNKNOWN_UPLOAD,         "unknown_upload",         422, false, "There is no such upload")                         \
    X(INPUTS_TOO_LARGE,       "inputs_too_large",       422, false, "The reference images are too large together")     \
    X(DRAINING,               "draining",               503, true,  "This gateway is shutting down")                   \
    /* how a task can end */                                                                                           \
    X(CANCELLED,              "cancelled",              0,   true,  "The task was cancelled")                          \
    X(EXPIRED,                "expired",                0,   true,  "The task waited too long in the queue")           \
    X(POISON,                 "poison",                 0,   false, "Every worker that took the task was lost")        \
    X(OUTCOME_UNKNOWN,        "outcome_unknown",        0,   false, "ARK was called, and the outcome is unknown")      \
    X(INVALID_TASK,           "invalid_task",           0,   false, "The stored task cannot be read")                  \
    X(NOT_DURABLE,            "not_durable",            0,   true,  "Redis did not confirm the call's record in time") \
    X(INPUT_UNAVAILABLE,      "input_unavailable",      0,   true,  "An uploaded image could not be read")             \
    X(ARK_INVALID_REQUEST,    "ark_invalid_request",    0,   false, "ARK refused the request")                         \
    X(ARK_UNAUTHORIZED,       "ark_unauthorized",       0,   false, "ARK refused the key or the account")              \
    X(ARK_MODEL_UNAVAILABLE,  "ark_model_unavailable",  0,   false, "ARK does not serve this model to this account")   \
    X(ARK_CONTENT_REFUSED,    "ark_content_refused",    0,   false, "ARK refused the content")                         \
    X(ARK_QUOTA_EXCEEDED,     "ark_quota_exceeded",     0,   false, "The ARK account's quota is used up")              \
    X(ARK_RATE_LIMITED,       "ark_rate_limited",       0,   true,  "ARK's rate limit was reached")                    \
    X(ARK_OVERLOADED,         "ark_overloaded",         0,   true,  "ARK was overloaded")                              \
    X(ARK_UNREACHABLE,        "ark_unreachable",        0,   true,  "ARK could not be reached")                        \
    X(ARK_NO_IMAGES,          "ark_no_images",          0,   true,  "ARK answered without an image")

#define X(name, code, status, retryable, title) PROBLEM_##name,
enum problem { PROBLEM_LIST(X) PROBLEM_COUNT };
#undef X
/* clang-format on */

const char *problem_code(enum problem problem);
int problem_status(enum problem problem); /* 0: only used in events */
const char *problem_title(enum problem problem);
bool problem_retryable(enum problem problem);
const char *problem_advice(enum problem problem); /* a sentence: what to do about it; NULL: there is none */

/* An invalid field of a request body: its JSON pointer (RFC 6901) and what is wrong with it. */
struct problem_field {
    const char *pointer;
    const char *detail;
};

struct problem_details {
    enum problem problem;
    const char *detail; /* NULL: a summary of `fields`, or else the problem's own detail: what to do about it */
    const char *request_id;
    const struct problem_field *fields; /* NULL if field_count is 0 */
    size_t field_count;
};

/* Writes the problem+json body. The texts may contain any bytes: they are escaped here. */
void problem_write(struct buf *out, const struct problem_details *details);

#endif
