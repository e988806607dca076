/* GET /tasks/{id}/stream: stream the events of an existing task, from the first one or from Last-Event-ID on */
#include "gateway/access/admission.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/task_path.h"
#include "gateway/request/headers.h"
#include "gateway/response/respond.h"
#include "gateway/streams/stream.h"

void api_task_stream(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];
    struct stream_request request = {.full_id = full_id, .client = admission_client(exchange)};

    if (respond_if_unacceptable(exchange, "text", "event-stream") || !task_path_read(exchange, full_id))
        return;
    if (last_event_id_read(http_exchange_request(exchange), &request.resumes, &request.cursor))
        stream_open(context->streams, exchange, &request);
    else
        respond_problem(exchange, PROBLEM_INVALID_LAST_EVENT_ID, NULL);
}
