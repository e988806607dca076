/* POST /generate/stream: submit a task and stream its events */
#include "gateway/access/admission.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/generate_request.h"
#include "gateway/request/headers.h"
#include "gateway/response/respond.h"
#include "gateway/streams/stream.h"
#include "gateway/tasks/submit.h"

void api_generate_stream(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct stream_request request = {.client = admission_client(exchange)};

    if (respond_if_unacceptable(exchange, "text", "event-stream"))
        return;
    if (!last_event_id_read(http_exchange_request(exchange), &request.resumes, &request.cursor)) {
        respond_problem(exchange, PROBLEM_INVALID_LAST_EVENT_ID, NULL);
        return;
    }
    request.submission = generate_request_read(context, exchange, GENERATE_STREAM);
    if (!request.submission)
        return;
    request.full_id = request.submission->full_id;
    stream_open(context->streams, exchange, &request);
}
