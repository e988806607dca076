#include "gateway/api/native/task_path.h"
#include "gateway/api/context.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/http/server.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/response/respond.h"

bool task_path_read(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE])
{
    struct http_text segment = http_exchange_segment(exchange);
    char task_id[TASK_ID_MAX + 1];

    if (!task_id_is_valid(segment.data, segment.len)) {
        respond_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
        return false;
    }
    memcpy(task_id, segment.data, segment.len);
    task_id[segment.len] = '\0';
    task_full_id(full_id, admission_client(exchange)->name, task_id);
    return true;
}

/* A valid task_id needs no escaping in paths and JSON. */
void task_path_add(struct buf *out, const char *task_id)
{
    buf_addf(out, "%s/tasks/%s", API_BASE, task_id);
}

static void add_link(struct buf *out, const char *name, const char *task_id, const char *suffix)
{
    buf_addf(out, "\"%s\":\"", name);
    task_path_add(out, task_id);
    buf_addf(out, "%s\"", suffix);
}

void task_path_add_links(struct buf *out, const char *task_id)
{
    buf_add_text(out, "\"links\":{");
    add_link(out, "self", task_id, "");
    buf_add_char(out, ',');
    add_link(out, "stream", task_id, "/stream");
    buf_add_char(out, ',');
    add_link(out, "cancel", task_id, "/cancel");
    buf_add_char(out, '}');
}
