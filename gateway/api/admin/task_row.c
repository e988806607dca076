#include "gateway/api/admin/task_row.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/task/scripts.h"
#include "gateway/response/timestamp.h"

enum { AT_ID, AT_STATE, AT_EPOCH, AT_ATTEMPT, AT_PAID_CALLS, AT_WORKER, AT_CODE, AT_CLAIMED, AT_ENDED, AT_PLACE };

/* -1 if the element is absent. */
static int64_t row_number(const redisReply *row, size_t at)
{
    int64_t value;

    return script_int(row, at, &value) ? -1 : value;
}

static void add_row_number(struct buf *out, const char *name, const redisReply *row, size_t at)
{
    int64_t value = row_number(row, at);

    if (value >= 0)
        buf_add_int_member(out, name, value);
}

static void add_row_text(struct buf *out, const char *name, const redisReply *row, size_t at)
{
    size_t len;
    const char *text = script_text(row, at, &len);

    if (!text || !len)
        return;
    buf_add_text_member(out, name, text, len);
}

/* The meaning of AT_PLACE depends on the state. */
static void add_place(struct buf *out, const redisReply *row)
{
    const char *state = script_text(row, AT_STATE, NULL);

    if (!state)
        return;
    if (strcmp(state, "queued") == 0)
        add_row_number(out, "position", row, AT_PLACE);
    else if (strcmp(state, "delayed") == 0)
        timestamp_add(out, "due_at", row_number(row, AT_PLACE));
    else if (strcmp(state, "running") == 0)
        timestamp_add(out, "lease_until", row_number(row, AT_PLACE));
}

/* An id that was added by hand may have no client part. */
void task_row_write(struct buf *out, const redisReply *row)
{
    const char *text = script_text(row, AT_ID, NULL), *id = text ? text : "";
    const char *dot = strchr(id, '.');
    size_t client = dot ? (size_t)(dot - id) : 0;
    const char *task_id = dot ? dot + 1 : id;

    buf_add_text(out, "\"id\":");
    buf_add_json(out, id, strlen(id));
    buf_add_text(out, ",\"client\":");
    buf_add_json(out, id, client);
    buf_add_text(out, ",\"task_id\":");
    buf_add_json(out, task_id, strlen(task_id));
    add_row_text(out, "status", row, AT_STATE);
    add_row_number(out, "epoch", row, AT_EPOCH);
    add_row_number(out, "attempts", row, AT_ATTEMPT);
    add_row_number(out, "paid_calls", row, AT_PAID_CALLS);
    add_row_text(out, "worker", row, AT_WORKER);
    add_row_text(out, "code", row, AT_CODE);
    timestamp_add(out, "created_at", row_number(row, AT_EPOCH));
    timestamp_add(out, "started_at", row_number(row, AT_CLAIMED));
    timestamp_add(out, "ended_at", row_number(row, AT_ENDED));
    add_place(out, row);
}
