/* POST /generate: takes a task in and answers where to find it */
#include <stdlib.h>

#include "common/buf.h"
#include "common/task.h"
#include "gateway/access/rate_limit_headers.h"
#include "gateway/api/native/generate_request.h"
#include "gateway/api/native/task_path.h"
#include "gateway/gateway.h"
#include "gateway/response/respond.h"
#include "gateway/routes.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/submit.h"

enum { ANSWER_MAX = 4096 };

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

static void answer_links(struct http_exchange *exchange, const char *task_id, enum task_state state, bool is_new)
{
    struct buf location, body;

    buf_init(&location, ANSWER_MAX);
    task_path_add(&location, task_id);
    http_add_header(exchange, "Location", buf_text(&location));

    buf_init(&body, ANSWER_MAX);
    buf_addf(&body, "{\"task_id\":\"%s\",\"status\":\"%s\",", task_id, task_state_name(state));
    task_path_add_links(&body, task_id);
    buf_add_char(&body, '}');
    buf_fail(&body, buf_error(&location));
    respond_json(exchange, is_new ? 202 : 200, &body);
    buf_deinit(&body);
    buf_deinit(&location);
}

static void on_submitted(const struct submit_result *answer, void *arg)
{
    struct generate *generate = arg;

    if (answer->images_left >= 0)
        rate_limit_headers_add_images(generate->exchange, answer->images_left, answer->day_left_ms);
    if (answer->log)
        answer_links(generate->exchange, task_id_of(generate->submission->full_id), answer->log->state,
                     answer->outcome == SUBMIT_NEW);
    else
        respond_problem_after(generate->exchange, submit_problem(answer->outcome), answer->day_left_ms);
    destroy(generate);
}

static void on_client_gone(void *arg)
{
    struct generate *generate = arg;

    submit_cancel(generate->call);
    destroy(generate);
}

void api_generate(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    struct generate *generate;

    if (gateway->draining) {
        respond_problem(exchange, PROBLEM_DRAINING, NULL);
        return;
    }
    if (!intake_accepts(exchange, "application", "json"))
        return;
    generate = calloc(1, sizeof(*generate));
    if (!generate) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    generate->exchange = exchange;
    generate->submission = generate_request_read(gateway, exchange, GENERATE_TASK);
    if (!generate->submission) {
        destroy(generate);
    } else if (submit_start(gateway->submitter, generate->submission, on_submitted, generate, &generate->call)) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        destroy(generate);
    } else {
        http_exchange_on_closed(exchange, on_client_gone, generate);
    }
}
