#include "gateway/answer.h"

#include <stddef.h>

#include "common/buf.h"
#include "common/http/server.h"

static const char *retry_after(enum problem problem)
{
    static const struct {
        enum problem problem;
        const char *seconds;
    } rows[] = {
        {PROBLEM_STORE_UNAVAILABLE, "2" },
        {PROBLEM_DRAINING,          "1" },
        {PROBLEM_QUEUE_FULL,        "10"},
        {PROBLEM_CLIENT_QUEUE_FULL, "10"},
        {PROBLEM_QUEUE_PAUSED,      "30"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].problem == problem)
            return rows[i].seconds;
    return NULL;
}

static void answer_report(struct http_exchange *exchange, const struct problem_report *report)
{
    const char *seconds = retry_after(report->problem);

    http_add_header(exchange, "Cache-Control", "no-store");
    if (seconds)
        http_add_header(exchange, "Retry-After", seconds);
    http_respond_problem(exchange, report);
}

void answer_problem(struct http_exchange *exchange, enum problem problem, const char *detail)
{
    answer_report(exchange, &(struct problem_report){.problem = problem, .detail = detail});
}

void answer_fields(struct http_exchange *exchange, const struct problem_field *fields, size_t count)
{
    answer_report(exchange,
                  &(struct problem_report){.problem = PROBLEM_INVALID_FIELDS, .fields = fields, .field_count = count});
}

void answer_json(struct http_exchange *exchange, int status, const struct buf *body)
{
    if (buf_error(body)) {
        answer_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    http_add_header(exchange, "Cache-Control", "no-store");
    http_respond(exchange, status, "application/json", body->data, body->len);
}
