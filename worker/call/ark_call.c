#include "worker/call/ark_call.h"

#include <stdio.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "worker/ark/answer.h"

enum { HEADER_SIZE = 128, HEADERS_MAX = 5 };

/* False when out of memory. */
static bool have_answer(struct ark_call *call)
{
    if (!call->answer)
        call->answer = ark_answer_create(&(struct ark_answer_setup){
            .expected = call->images,
            .max_bytes = call->endpoint->answer_max,
            .max_line = call->endpoint->answer_max,
            .secret = call->endpoint->secret,
            .on_slot = call->events.on_slot,
            .arg = call->events.arg,
        });
    return call->answer;
}

static const struct ark_result *end_answer(struct ark_call *call, const char *broke)
{
    return have_answer(call) ? ark_answer_end(call->answer, broke) : &ark_result_none;
}

static void conclude(struct ark_call *call, enum web_end end, const char *words)
{
    call->web = NULL;
    call->events.on_done(&(struct ark_call_outcome){.end = end,
                                                    .words = words,
                                                    .result = end_answer(call, end == WEB_ANSWERED ? NULL : words)},
                         call->events.arg);
}

void ark_call_hang_up(struct ark_call *call, enum web_end end, const char *words)
{
    if (call->web && web_progress(call->web) == WEB_PARTLY_SENT && end == WEB_BROKEN)
        end = WEB_PARTLY_SENT;
    if (call->web)
        web_cancel(call->web);
    conclude(call, end, words);
}

static void ark_call_on_head(const struct web_head *head, void *arg)
{
    struct ark_call *call = arg;

    if (!have_answer(call)) {
        ark_call_hang_up(call, WEB_BROKEN, err_text(ERR_NO_MEMORY));
        return;
    }
    ark_answer_head(call->answer, &(struct ark_head){.status = head->status,
                                                     .content_type = head->content_type,
                                                     .retry_after = head->retry_after,
                                                     .request_id = head->request_id,
                                                     .now_ms = clock_wall_ms()});
}

static void ark_call_on_data(const char *bytes, size_t len, void *arg)
{
    struct ark_call *call = arg;
    int err = ark_answer_body(call->answer, bytes, len);

    if (err)
        ark_call_hang_up(call, WEB_BROKEN,
                         err == ERR_TOO_LONG ? "ARK's answer is longer than ARK_ANSWER_MAX" : err_text(err));
    else if (ark_answer_finished(call->answer))
        ark_call_hang_up(call, WEB_ANSWERED, "");
    else if (ark_answer_is_complete(call->answer))
        web_end_within(call->web, call->endpoint->end_ms);
}

static void ark_call_on_done(const struct web_outcome *outcome, void *arg)
{
    conclude(arg, outcome->end, outcome->words);
}

static void ark_call_on_sent(void *arg)
{
    const struct ark_call *call = arg;

    if (call->events.on_sent)
        call->events.on_sent(call->events.arg);
}

/* headers: closed by NULL */
static int post(struct ark_call *call, const struct ark_call_request *request, const char *const *headers)
{
    const struct web_request post = {
        .url = call->endpoint->url,
        .headers = headers,
        .body = request->body,
        .body_len = request->len,
        .first_byte_ms = request->first_byte_ms,
        .total_ms = request->total_ms,
        .answer_max = call->endpoint->answer_max,
        .on_sent = ark_call_on_sent,
        .events = {.on_head = ark_call_on_head, .on_data = ark_call_on_data, .on_done = ark_call_on_done, .arg = call},
    };

    return web_start(call->endpoint->web, &post, &call->web);
}

void ark_call_id_make(char out[ARK_CALL_ID_SIZE])
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(out, ARK_CALL_ID_SIZE, "%Y%m%d%H%M%S", &tm);
    random_hex(out + 14, 10);
}

int ark_call_start(struct ark_call *call, const struct ark_endpoint *endpoint, const struct ark_call_request *request,
                   const struct ark_call_events *events)
{
    char id_header[HEADER_SIZE];
    const char *headers[HEADERS_MAX] = {endpoint->authorization, "Content-Type: application/json",
                                        request->stream ? "Accept: text/event-stream" : "Accept: application/json"};

    if (request->client_request_id) {
        (void)snprintf(id_header, sizeof(id_header), "X-Client-Request-Id: %s", request->client_request_id);
        headers[3] = id_header;
    }
    call->endpoint = endpoint;
    call->events = *events;
    call->images = request->images;
    return post(call, request, headers);
}

const struct ark_result *ark_call_result(struct ark_call *call)
{
    return end_answer(call, NULL);
}

void ark_call_deinit(struct ark_call *call)
{
    if (call->web)
        web_cancel(call->web);
    ark_answer_destroy(call->answer);
    *call = (struct ark_call){0};
}
