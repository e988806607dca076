#include "gateway/response/respond.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/http/server.h"
#include "gateway/request/headers.h"

enum { SECOND_MS = 1000, NUMBER_SIZE = 24 };

static const char *retry_after(enum problem problem)
{
    static const struct {
        enum problem problem;
        const char *seconds;
    } rows[] = {
        {PROBLEM_STORE_UNAVAILABLE,   "2" },
        {PROBLEM_STORAGE_UNAVAILABLE, "5" },
        {PROBLEM_DRAINING,            "1" },
        {PROBLEM_QUEUE_FULL,          "10"},
        {PROBLEM_CLIENT_QUEUE_FULL,   "10"},
        {PROBLEM_QUEUE_PAUSED,        "30"},
        {PROBLEM_TOO_MANY_STREAMS,    "5" },
        {PROBLEM_TOO_MANY_UPLOADS,    "5" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].problem == problem)
            return rows[i].seconds;
    return NULL;
}

static void respond_details(struct http_exchange *exchange, const struct problem_details *details)
{
    const char *seconds = retry_after(details->problem);

    http_add_header(exchange, "Cache-Control", "no-store");
    if (seconds)
        http_add_header(exchange, "Retry-After", seconds);
    http_respond_problem(exchange, details);
}

void respond_problem(struct http_exchange *exchange, enum problem problem, const char *detail)
{
    respond_details(exchange, &(struct problem_details){.problem = problem, .detail = detail});
}

void respond_problem_after(struct http_exchange *exchange, enum problem problem, int64_t wait_ms)
{
    char seconds[NUMBER_SIZE];

    (void)snprintf(seconds, sizeof(seconds), "%" PRId64, (wait_ms + SECOND_MS - 1) / SECOND_MS);
    if (wait_ms > 0)
        http_add_header(exchange, "Retry-After", seconds);
    respond_problem(exchange, problem, NULL);
}

void respond_field_errors(struct http_exchange *exchange, const struct problem_field *fields, size_t count)
{
    respond_details(
        exchange, &(struct problem_details){.problem = PROBLEM_INVALID_FIELDS, .fields = fields, .field_count = count});
}

void respond_json(struct http_exchange *exchange, int status, const struct buf *body)
{
    if (buf_error(body)) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    http_add_header(exchange, "Cache-Control", "no-store");
    http_respond(exchange, status, "application/json", body->data, body->len);
}

bool respond_if_unacceptable(struct http_exchange *exchange, const char *type, const char *subtype)
{
    const struct http_request *request = http_exchange_request(exchange);
    bool has_accept = false;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];

        if (!http_text_is_nocase(header->name, "Accept"))
            continue;
        has_accept = true;
        if (media_is_accepted(header->value.data, header->value.len, type, subtype))
            return false;
    }
    if (has_accept)
        respond_problem(exchange, PROBLEM_NOT_ACCEPTABLE, NULL);
    return has_accept;
}
