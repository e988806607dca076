/* DELETE /uploads/{id}: erases an uploaded image, for the client that uploaded it */
#include <string.h>

#include "common/base/sha256.h"
#include "common/http/server.h"
#include "common/task/storage_check.h"
#include "common/task/task_spec.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/response/respond.h"
#include "gateway/uploads/erasure.h"
#include "gateway/uploads/uploads.h"

#define WORDS_ERASE "The image cannot be erased at the moment. Retry later."

/* The digest in the request's path. False: it has no id of an upload. */
static bool read_digest(const struct http_exchange *exchange, char sha256[SHA256_HEX_SIZE])
{
    const size_t prefix = strlen(TASK_UPLOAD_PREFIX);
    struct http_text segment = http_exchange_segment(exchange);
    char id[sizeof(TASK_UPLOAD_PREFIX) - 1 + SHA256_HEX_SIZE];

    if (segment.len >= sizeof(id))
        return false;
    memcpy(id, segment.data, segment.len);
    id[segment.len] = '\0';
    if (!task_url_is_upload(id))
        return false;
    memcpy(sha256, id + prefix, SHA256_HEX_SIZE);
    return true;
}

static void upload_on_erased(enum problem problem, void *arg)
{
    struct http_exchange *exchange = arg;

    if (problem == PROBLEM_COUNT)
        http_respond(exchange, 204, NULL, NULL, 0);
    else
        respond_problem(exchange, problem, problem == PROBLEM_STORAGE_UNAVAILABLE ? WORDS_ERASE : NULL);
}

static void upload_on_caller_gone(void *arg)
{
    erasure_forget_caller(arg);
}

void api_upload_erase(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct erasure *erasure;
    char sha256[SHA256_HEX_SIZE];

    if (!context->uploads || !read_digest(exchange, sha256))
        respond_problem(exchange, PROBLEM_UPLOAD_NOT_FOUND, NULL);
    else if (storage_check_failed(context->storage_check))
        respond_problem(exchange, PROBLEM_STORAGE_UNAVAILABLE, UPLOADS_OTHER_STORAGE);
    else if (erasure_start(context->uploads, admission_client(exchange)->name, sha256, upload_on_erased, exchange,
                           &erasure))
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    else
        http_exchange_on_closed(exchange, upload_on_caller_gone, erasure);
}
