#include "gateway/api/openai/error.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"

enum { RESPONSE_MAX = 64 * 1024 };

static const char type_refused[] = "image_generation_user_error"; /* OpenAI's type for refused content */

bool openai_is_below_base(struct http_text path)
{
    size_t len = strlen(OPENAI_BASE);

    return path.len >= len && memcmp(path.data, OPENAI_BASE, len) == 0 && (path.len == len || path.data[len] == '/');
}

/* -- the object */

struct object {
    const char *type, *code, *param, *request_id, *charged;
};

static const char *type_of(int status)
{
    if (status == 401)
        return "authentication_error";
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 || status == 424 ? "server_error" : "invalid_request_error";
}

static void add_error_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    if (text)
        buf_add_json(out, text, strlen(text));
    else
        buf_add_text(out, "null");
}

/* After `message`. */
static void add_members(struct buf *out, const struct object *object)
{
    add_error_text(out, "type", object->type);
    add_error_text(out, "param", object->param);
    add_error_text(out, "code", object->code);
    if (object->charged)
        add_error_text(out, "charged", object->charged);
    if (object->request_id)
        add_error_text(out, "request_id", object->request_id);
}

/* -- the end of a task */

static bool failure_is(const struct openai_failure *failure, const char *code)
{
    return strcmp(failure->code, code) == 0;
}

/* To cancel was somebody's decision, so a client must not order again by itself. */
bool openai_failure_should_retry(const struct openai_failure *failure)
{
    return failure->retryable && !failure_is(failure, problem_code(PROBLEM_CANCELLED));
}

/* 424: the request is fine, and what it depends on has failed for good. */
int openai_failure_status(const struct openai_failure *failure)
{
    static const struct {
        enum problem problem;
        int status;
    } rows[] = {
        {PROBLEM_ARK_CONTENT_REFUSED, 400},
        {PROBLEM_ARK_INVALID_REQUEST, 400},
        {PROBLEM_TASK_NOT_FOUND,      404},
        {PROBLEM_PICTURE_NOT_FOUND,   404},
    };

    if (openai_failure_should_retry(failure))
        return failure_is(failure, problem_code(PROBLEM_ARK_RATE_LIMITED)) ? 429 : 503;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (failure_is(failure, problem_code(rows[i].problem)))
            return rows[i].status;
    return 424;
}

void openai_failure_write(struct buf *out, const struct openai_failure *failure, const char *request_id)
{
    bool refused = failure_is(failure, problem_code(PROBLEM_ARK_CONTENT_REFUSED));
    const struct object object = {.type = refused ? type_refused : type_of(openai_failure_status(failure)),
                                  .code = failure->code,
                                  .charged = failure->charged,
                                  .request_id = request_id};

    buf_add_text(out, "{\"message\":");
    buf_add_json(out, failure->message, strlen(failure->message));
    add_members(out, &object);
    buf_add_char(out, '}');
}

static void add_retry_header(struct http_exchange *exchange, bool should_retry)
{
    http_add_header(exchange, "x-should-retry", should_retry ? "true" : "false");
}

void openai_failure_respond(struct http_exchange *exchange, const struct openai_failure *failure)
{
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    buf_add_text(&body, "{\"error\":");
    openai_failure_write(&body, failure, http_exchange_request_id(exchange));
    buf_add_char(&body, '}');
    add_retry_header(exchange, openai_failure_should_retry(failure));
    http_add_header(exchange, "Cache-Control", "no-store");
    http_respond(exchange, openai_failure_status(failure), "application/json", body.data, body.len);
    buf_deinit(&body);
}

/* -- problems */

/* A client that is refused with 409 retries, and gets the same answer. */
static int openai_status(enum problem problem)
{
    int status = problem_status(problem);

    return status == 409 ? 422 : status;
}

/* The native API's fields that have another name here. */
static const char *param_of(const char *pointer)
{
    static const struct {
        const char *native, *param;
    } rows[] = {
        {"urls",            "image"                                         },
        {"optimize_prompt", "optimize_prompt_options.mode"                  },
        {"layers",          "layer_decomposition"                           },
        {"web_search",      "tools"                                         },
        {"max_images",      "sequential_image_generation_options.max_images"},
    };
    const char *name = pointer + (*pointer == '/');

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        size_t len = strlen(rows[i].native);

        if (strncmp(name, rows[i].native, len) == 0 && (!name[len] || name[len] == '/'))
            return rows[i].param;
    }
    return name;
}

static void add_field_texts(struct buf *message, const struct problem_details *details)
{
    for (size_t i = 0; i < details->field_count; i++)
        buf_addf(message, "%s%s %s", i ? "; " : "", param_of(details->fields[i].pointer), details->fields[i].detail);
}

/* Many clients show nothing but the message. */
static void add_problem_message(struct buf *message, const struct problem_details *details)
{
    const char *advice = problem_advice(details->problem);

    if (details->detail)
        buf_add_text(message, details->detail);
    else if (details->field_count)
        add_field_texts(message, details);
    else
        buf_addf(message, "%s.%s%s", problem_title(details->problem), advice ? " " : "", advice ? advice : "");
}

/* A limit per day or month: an SDK that repeats its request within seconds would be refused again. */
static bool lasts_a_day(enum problem problem)
{
    return problem == PROBLEM_BUDGET_EXHAUSTED || problem == PROBLEM_IMAGES_PER_DAY ||
           problem == PROBLEM_UPLOADS_PER_DAY;
}

void openai_write_problem(struct http_exchange *exchange, const struct problem_details *details,
                          struct http_problem_answer *out)
{
    const struct object object = {.type = type_of(openai_status(details->problem)),
                                  .code = problem_code(details->problem),
                                  .param = details->field_count ? param_of(details->fields[0].pointer) : NULL,
                                  .request_id = details->request_id};
    struct buf message;

    buf_init(&message, RESPONSE_MAX);
    add_problem_message(&message, details);
    buf_add_text(&out->body, "{\"error\":{\"message\":");
    buf_add_json(&out->body, buf_text(&message), message.len);
    add_members(&out->body, &object);
    buf_add_text(&out->body, "}}");
    buf_fail(&out->body, buf_error(&message));
    buf_deinit(&message);
    out->status = openai_status(details->problem);
    out->content_type = "application/json";
    add_retry_header(exchange, problem_retryable(details->problem) && !lasts_a_day(details->problem));
}
