#include "gateway/api/task_row.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/task/scripts.h"
#include "gateway/response/timestamp.h"

enum {
    AT_ID,
    AT_STATE,
    AT_EPOCH,
    AT_ATTEMPT,
    AT_PAID_CALLS,
    AT_WORKER,
    AT_CODE,
    AT_CLAIMED,
    AT_ENDED,
    AT_PLACE,
    AT_MODEL
};

enum reader { CLIENT, OPERATOR };

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
static void add_place(struct buf *out, const redisReply *row, enum reader reader)
{
    const char *state = script_text(row, AT_STATE, NULL);

    if (!state)
        return;
    if (strcmp(state, "queued") == 0)
        add_row_number(out, "position", row, AT_PLACE);
    else if (strcmp(state, "delayed") == 0)
        timestamp_add(out, "due_at", row_number(row, AT_PLACE));
    else if (strcmp(state, "running") == 0 && reader == OPERATOR)
        timestamp_add(out, "lease_until", row_number(row, AT_PLACE));
}

/* An id that was added by hand may have no client part. */
static void write_row(struct buf *out, const redisReply *row, enum reader reader)
{
    const char *text = script_text(row, AT_ID, NULL), *id = text ? text : "";
    const char *dot = strchr(id, '.');
    size_t client = dot ? (size_t)(dot - id) : 0;
    const char *task_id = dot ? dot + 1 : id;

    if (reader == OPERATOR) {
        buf_add_text(out, "\"id\":");
        buf_add_json(out, id, strlen(id));
        buf_add_text(out, ",\"client\":");
        buf_add_json(out, id, client);
        buf_add_char(out, ',');
    }
    buf_add_text(out, "\"task_id\":");
    buf_add_json(out, task_id, strlen(task_id));
    add_row_text(out, "status", row, AT_STATE);
    add_row_number(out, "epoch", row, AT_EPOCH);
    add_row_number(out, "attempts", row, AT_ATTEMPT);
    add_row_number(out, "paid_calls", row, AT_PAID_CALLS);
    if (reader == OPERATOR)
        add_row_text(out, "worker", row, AT_WORKER);
    add_row_text(out, "model", row, AT_MODEL);
    add_row_text(out, "code", row, AT_CODE);
    timestamp_add(out, "created_at", row_number(row, AT_EPOCH));
    timestamp_add(out, "started_at", row_number(row, AT_CLAIMED));
    timestamp_add(out, "ended_at", row_number(row, AT_ENDED));
    add_place(out, row, reader);
}

void task_row_write(struct buf *out, const redisReply *row)
{
    write_row(out, row, OPERATOR);
}

void task_row_write_own(struct buf *out, const redisReply *row)
{
    write_row(out, row, CLIENT);
}

void task_row_write_page(struct buf *out, const redisReply *page, task_row_fn *write_one)
{
    const redisReply *row;
    size_t len;
    const char *next = script_text(page, 1, &len);

    buf_add_text(out, "{\"tasks\":[");
    for (size_t i = 2; (row = script_array(page, i)); i++) {
        buf_add_text(out, i > 2 ? ",{" : "{");
        write_one(out, row);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "],\"next\":");
    if (next && len)
        buf_add_json(out, next, len);
    else
        buf_add_text(out, "null");
    buf_add_char(out, '}');
}
