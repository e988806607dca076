/* POST /generate/stream and GET /tasks/{id}/stream: a task's events, from the first on or from where the client stands */
#include <stdbool.h>
#include <string.h>

#include "gateway/access/admission.h"
#include "gateway/api/native/generate_request.h"
#include "gateway/api/native/task_path.h"
#include "gateway/gateway.h"
#include "gateway/response/respond.h"
#include "gateway/routes.h"
#include "gateway/streams/stream.h"
#include "gateway/tasks/submit.h"

enum { CURSOR_SIZE = 64 };

static bool has_parameter(struct http_text query, const char *name)
{
    size_t len = strlen(name);

    for (size_t at = 0; at + len <= query.len; at++) {
        bool begins = !at || query.data[at - 1] == '&';
        bool ends = at + len == query.len || query.data[at + len] == '=' || query.data[at + len] == '&';

        if (begins && ends && memcmp(query.data + at, name, len) == 0)
            return true;
    }
    return false;
}

/* EventSource polyfills that cannot set a header add lastEventId at each reconnect, also to an address that has last_event_id
 * already. So the first of these that is not empty counts. False: that one is malformed. */
static bool read_query(const struct http_request *request, char value[CURSOR_SIZE])
{
    static const char *const names[] = {"lastEventId", "last_event_id"};

    value[0] = '\0';
    for (size_t i = 0; !value[0] && i < sizeof(names) / sizeof(names[0]); i++)
        if (has_parameter(request->query, names[i]) && !http_request_query(request, names[i], value, CURSOR_SIZE))
            return false;
    return true;
}

/* The client's place: the header wins over the query, and an empty value means that it has nothing yet. */
static bool read_cursor(const struct http_request *request, struct stream_request *out)
{
    struct http_text place = http_request_header(request, "Last-Event-ID");
    char value[CURSOR_SIZE];

    if (!place.data) {
        if (!read_query(request, value))
            return false;
        place = (struct http_text){value, strlen(value)};
    }
    out->resumes = place.len > 0;
    return !out->resumes || !task_cursor_parse(place.data, place.len, &out->cursor);
}

void api_generate_stream(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    struct stream_request request = {.client = admission_client(exchange)};

    if (!intake_accepts(exchange, "text", "event-stream"))
        return;
    if (!read_cursor(http_exchange_request(exchange), &request)) {
        respond_problem(exchange, PROBLEM_INVALID_LAST_EVENT_ID, NULL);
        return;
    }
    request.submission = generate_request_read(gateway, exchange, GENERATE_STREAM);
    if (!request.submission)
        return;
    request.full_id = request.submission->full_id;
    stream_open(gateway->streams, exchange, &request);
}

void api_task_stream(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    char full_id[TASK_FULL_ID_SIZE];
    struct stream_request request = {.full_id = full_id, .client = admission_client(exchange)};

    if (!intake_accepts(exchange, "text", "event-stream") || !task_path_read(exchange, full_id))
        return;
    if (read_cursor(http_exchange_request(exchange), &request))
        stream_open(gateway->streams, exchange, &request);
    else
        respond_problem(exchange, PROBLEM_INVALID_LAST_EVENT_ID, NULL);
}
