/* POST /generate: submit a task and respond with its links */
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/task/task.h"
#include "gateway/access/rate_limit_headers.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/generate_request.h"
#include "gateway/api/native/task_path.h"
#include "gateway/response/respond.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/submit.h"

enum { RESPONSE_MAX = 4096 };

struct generate {
    struct http_exchange *exchange;
    struct submission *submission;
    struct submit_call *call;
};

static void destroy(struct generate *generate)
{
    submission_destroy(generate->submission);
    free(generate);
}

static void respond_links(struct http_exchange *exchange, const char *task_id, enum task_state state, bool is_new)
{
    struct buf location, body;

    buf_init(&location, RESPONSE_MAX);
    task_path_add(&location, task_id);
    http_add_header(exchange, "Location", buf_text(&location));

    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"task_id\":\"%s\",\"status\":\"%s\",", task_id, task_state_name(state));
    task_path_add_links(&body, task_id);
    buf_add_char(&body, '}');
    buf_fail(&body, buf_error(&location));
    respond_json(exchange, is_new ? 202 : 200, &body);
    buf_deinit(&body);
    buf_deinit(&location);
}

static void generate_on_submitted(const struct submit_result *result, void *arg)
{
    struct generate *generate = arg;

    if (result->images_left >= 0)
        rate_limit_headers_add_images(generate->exchange, result->images_left, result->day_left_ms);
    if (result->log)
        respond_links(generate->exchange, task_id_of(generate->submission->full_id), result->log->state,
                      result->outcome == SUBMIT_NEW);
    else
        respond_problem_after(generate->exchange, submit_problem(result->outcome), result->day_left_ms);
    destroy(generate);
}

static void generate_on_closed(void *arg)
{
    struct generate *generate = arg;

    submit_cancel(generate->call);
    destroy(generate);
}

void api_generate(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct generate *generate;

    if (context->draining) {
        respond_problem(exchange, PROBLEM_DRAINING, NULL);
        return;
    }
    if (respond_if_unacceptable(exchange, "application", "json"))
        return;
    generate = calloc(1, sizeof(*generate));
    if (!generate) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    generate->exchange = exchange;
    generate->submission = generate_request_read(context, exchange, GENERATE_TASK);
    if (!generate->submission) {
        destroy(generate);
    } else if (submit_start(context->submitter, generate->submission, generate_on_submitted, generate,
                            &generate->call)) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        destroy(generate);
    } else {
        http_exchange_on_closed(exchange, generate_on_closed, generate);
    }
}
