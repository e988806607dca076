/* GET /admin/processes: every gateway and worker that is alive */
#include "gateway/api/admin_processes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/redis/script.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/api/timestamp.h"
#include "gateway/gateway.h"
#include "gateway/store.h"

enum { ANSWER_MAX = 1024 * 1024, AT_ROWS = 2, AT_FIELDS = 1 /* of a row, behind its name */ };

static void add_text(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, text, len);
}

static bool is_number(const char *text, size_t len)
{
    return len && len <= 18 && strspn(text, "0123456789") == len;
}

static void add_number(struct buf *out, const char *name, const char *text, size_t len)
{
    if (is_number(text, len))
        buf_addf(out, ",\"%s\":%s", name, text);
}

static void add_flag(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_addf(out, ",\"%s\":%s", name, len == 1 && *text == '1' ? "true" : "false");
}

static void add_time(struct buf *out, const char *name, const char *text, size_t len)
{
    if (is_number(text, len))
        timestamp_add(out, name, strtoll(text, NULL, 10));
}

static void add_list(struct buf *out, const char *name, const char *text, size_t len)
{
    if (strspn(text, "0123456789,") == len)
        buf_addf(out, ",\"%s\":[%s]", name, text);
}

/* Whoever may write to Redis may write anything here: what does not fit its kind is left out. */
static const struct {
    const char *name;
    void (*add)(struct buf *out, const char *name, const char *text, size_t len);
} fields[] = {
    {"role",              add_text  },
    {"version",           add_text  },
    {"host",              add_text  },
    {"pid",               add_number},
    {"started_at",        add_time  },
    {"draining",          add_flag  },
    {"threads",           add_number},
    {"streams",           add_number},
    {"connections",       add_number},
    {"slots",             add_number},
    {"busy",              add_number},
    {"images_per_minute", add_number},
    {"images",            add_number},
    {"unknown",           add_number},
    {"ark_ms",            add_list  },
};

static void add_field(struct buf *out, const redisReply *row, size_t at)
{
    const char *name = script_text(row, at, NULL);
    size_t len;
    const char *text = script_text(row, at + 1, &len);

    for (size_t i = 0; name && text && i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(fields[i].name, name) == 0)
            fields[i].add(out, name, text, len);
}

static void write_process(struct buf *out, const redisReply *row)
{
    size_t len;
    const char *name = script_text(row, 0, &len);

    buf_add_text(out, "{\"name\":");
    buf_add_json(out, name ? name : "", name ? len : 0);
    for (size_t at = AT_FIELDS; at + 1 < row->elements; at += 2)
        add_field(out, row, at);
    buf_add_char(out, '}');
}

void processes_write(struct buf *out, const redisReply *reply)
{
    const redisReply *row;

    buf_add_char(out, '[');
    for (size_t i = AT_ROWS; (row = script_array(reply, i)); i++) {
        if (i > AT_ROWS)
            buf_add_char(out, ',');
        write_process(out, row);
    }
    buf_add_char(out, ']');
}

static bool has_role(const redisReply *row, const char *role)
{
    for (size_t at = AT_FIELDS; at + 1 < row->elements; at += 2) {
        const char *name = script_text(row, at, NULL), *text = script_text(row, at + 1, NULL);

        if (name && text && strcmp(name, "role") == 0)
            return strcmp(text, role) == 0;
    }
    return false;
}

size_t processes_count(const redisReply *reply, const char *role)
{
    const redisReply *row;
    size_t count = 0;

    for (size_t i = AT_ROWS; (row = script_array(reply, i)); i++)
        if (has_role(row, role))
            count++;
    return count;
}

static void on_answer(struct http_exchange *exchange, const redisReply *reply)
{
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    buf_add_text(&body, "{\"processes\":");
    processes_write(&body, reply);
    buf_add_char(&body, '}');
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_admin_processes(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;

    store_ask(gateway->commands, exchange,
              &(struct store_question){.script = SCRIPT_PROCESSES, .prefix = PROCESSES_PREFIX, .answer = on_answer});
}
