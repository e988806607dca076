#include "common/problem.h"

#include <string.h>

#include "common/buf.h"

static const struct {
    const char *code;
    int status;
    bool retryable;
    const char *title;
} rows[PROBLEM_COUNT] = {
#define X(name, code, status, retryable, title) {code, status, retryable, title},
    PROBLEM_LIST(X)
#undef X
};

const char *problem_code(enum problem problem)
{
    return rows[problem].code;
}

int problem_status(enum problem problem)
{
    return rows[problem].status;
}

const char *problem_title(enum problem problem)
{
    return rows[problem].title;
}

bool problem_retryable(enum problem problem)
{
    return rows[problem].retryable;
}

static void add_member(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, text, strlen(text));
}

static void add_fields(struct buf *out, const struct problem_field *fields, size_t count)
{
    buf_add_text(out, ",\"errors\":[");
    for (size_t i = 0; i < count; i++) {
        buf_add_text(out, i ? ",{\"pointer\":" : "{\"pointer\":");
        buf_add_json(out, fields[i].pointer, strlen(fields[i].pointer));
        add_member(out, "detail", fields[i].detail);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

void problem_write(struct buf *out, const struct problem_report *report)
{
    enum problem problem = report->problem;
    const char *title = problem_title(problem);

    buf_addf(out, "{\"type\":\"urn:arkrelay:problem:%s\"", problem_code(problem));
    add_member(out, "title", title);
    buf_addf(out, ",\"status\":%d", problem_status(problem));
    add_member(out, "detail", report->detail ? report->detail : title);
    add_member(out, "code", problem_code(problem));
    buf_addf(out, ",\"retryable\":%s", problem_retryable(problem) ? "true" : "false");
    add_member(out, "request_id", report->request_id);
    if (report->field_count)
        add_fields(out, report->fields, report->field_count);
    buf_add_char(out, '}');
}
