/* GET /admin/overview: Redis, the queue, the ARK account, processes and this gateway, in one response */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/account/account.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/api/process_list.h"
#include "gateway/api/queue_counts.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/response/redis_multi_query.h"
#include "gateway/tasks/queue_reply.h"

enum { HEAD_MAX = 256, TEXT_MAX = 64 };

/* A decimal number from Redis as a JSON number; null for any other text. */
static void add_info_number(struct buf *out, const char *name, const char *text, size_t len)
{
    char copy[TEXT_MAX] = "", *end = copy;
    double value = 0;

    if (text && len && len < sizeof(copy) && strspn(text, "-0123456789.") >= len) {
        memcpy(copy, text, len);
        copy[len] = '\0';
        value = strtod(copy, &end);
    }
    if (end == copy || *end)
        buf_addf(out, "\"%s\":null", name);
    else
        buf_addf(out, "\"%s\":%.17g", name, value);
}

static void add_text_or_null(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_addf(out, "\"%s\":", name);
    if (text)
        buf_add_json(out, text, len);
    else
        buf_add_text(out, "null");
}

static void add_boolean_of(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_addf(out, "\"%s\":%s", name, text && len == 1 && *text == '1' ? "true" : "false");
}

struct row {
    const char *redis_name, *json_name;
    void (*add)(struct buf *out, const char *name, const char *text, size_t len);
};

/* -- Redis */

static const struct row info_rows[] = {
    {"redis_version",             "version",                   add_text_or_null},
    {"role",                      "role",                      add_text_or_null},
    {"uptime_in_seconds",         "uptime_seconds",            add_info_number },
    {"connected_clients",         "connected_clients",         add_info_number },
    {"used_memory",               "used_memory",               add_info_number },
    {"maxmemory",                 "maxmemory",                 add_info_number },
    {"instantaneous_ops_per_sec", "operations_per_second",     add_info_number },
    {"evicted_keys",              "evicted_keys",              add_info_number },
    {"aof_enabled",               "aof_enabled",               add_boolean_of  },
    {"aof_last_write_status",     "aof_last_write_status",     add_text_or_null},
    {"rdb_last_bgsave_status",    "snapshot_last_save_status", add_text_or_null},
    {"connected_slaves",          "replicas",                  add_info_number },
};

/* The value of the line "name:value" in the reply of INFO; NULL if it is missing. */
static const char *info_find(const char *info, const char *name, size_t *len)
{
    size_t name_len = strlen(name);

    for (const char *line = info; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_len) == 0 && line[name_len] == ':') {
            *len = strcspn(line + name_len + 1, "\r\n");
            return line + name_len + 1;
        }
    }
    return NULL;
}

static void write_redis(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    const char *info = reply && reply->type == REDIS_REPLY_STRING ? reply->str : "";
    int64_t took_us = notes->took_us;

    buf_addf(out, "\"redis\":{\"round_trip_ms\":%" PRId64 ".%03d", took_us / 1000, (int)(took_us % 1000));
    for (size_t i = 0; i < ARRAY_LENGTH(info_rows); i++) {
        size_t len = 0;
        const char *text = info_find(info, info_rows[i].redis_name, &len);

        buf_add_char(out, ',');
        info_rows[i].add(out, info_rows[i].json_name, text, len);
    }
    buf_add_char(out, '}');
}

/* -- the ARK account */

static void add_double(struct buf *out, const char *name, double value)
{
    if (isnan(value))
        buf_addf(out, ",\"%s\":null", name);
    else
        buf_addf(out, ",\"%s\":%.17g", name, value);
}

static void add_time_or_null(struct buf *out, const char *name, int64_t ms)
{
    if (ms)
        buf_add_int_member(out, name, ms);
    else
        buf_addf(out, ",\"%s\":null", name);
}

static void add_words(struct buf *out, const char *name, const char *text)
{
    buf_add_char(out, ',');
    add_text_or_null(out, name, *text ? text : NULL, strlen(text));
}

static void write_breaker(struct buf *out, const struct account_scope *scope)
{
    bool is_closed = scope->state == BREAKER_CLOSED;

    buf_addf(out, "\"breaker\":{\"state\":\"%s\"", breaker_state_name(scope->state));
    add_words(out, "code", is_closed ? "" : account_scope_code(scope));
    add_words(out, "why", is_closed ? "" : scope->why);
    add_time_or_null(out, "since_ms", is_closed ? 0 : scope->since_ms);
    add_time_or_null(out, "probe_at_ms", scope->state == BREAKER_OPEN ? scope->probe_at_ms : 0);
    buf_add_char(out, '}');
}

static void write_model(struct buf *out, const struct account_scope *scope)
{
    buf_add_char(out, '{');
    add_text_or_null(out, "model", scope->model, strlen(scope->model));
    add_double(out, "limit", scope->limit);
    add_double(out, "rate", scope->rate);
    add_time_or_null(out, "paused_until_ms", scope->paused_until_ms);
    buf_add_char(out, ',');
    write_breaker(out, scope);
    buf_add_char(out, '}');
}

static void write_governor(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    struct account account;

    (void)notes;
    account_read(&account, reply);
    buf_add_text(out, "\"governor\":{");
    write_breaker(out, account.scopes);
    add_double(out, "tokens", account.tokens);
    add_double(out, "calls", account.calls);
    add_double(out, "limit", account.limit);
    add_words(out, "default_model", account.default_model);
    buf_add_text(out, ",\"models\":[");
    for (size_t i = 1; i < account.count; i++) {
        if (i > 1)
            buf_add_char(out, ',');
        write_model(out, &account.scopes[i]);
    }
    buf_add_text(out, "]}");
}

/* -- the queue, processes, this gateway */

static void write_queue(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    size_t len = 0;
    const char *now = script_text(reply, QUEUE_NOW, &len);

    (void)notes;
    add_info_number(out, "now_ms", now, len);
    buf_add_text(out, ",\"queue\":{");
    queue_counts_write(out, reply);
    buf_add_char(out, '}');
}

static void write_processes(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    (void)notes;
    buf_add_text(out, "\"processes\":");
    process_list_write(out, reply);
}

static void write_gateway(struct buf *out, const struct api_context *context)
{
    const struct gateway_metrics *metrics = context->metrics;

    buf_addf(out, "\"gateway\":{\"version\":\"%s\",\"draining\":%s", ARKRELAY_VERSION,
             context->draining ? "true" : "false");
    if (metrics)
        buf_addf(out, ",\"streams\":%" PRId64 ",\"connections\":%" PRId64,
                 gateway_metrics_sum(metrics, SAMPLE(METRIC_SSE_STREAMS)),
                 gateway_metrics_sum(metrics, SAMPLE(METRIC_HTTP_CONNECTIONS)));
    buf_add_char(out, '}');
}

void api_admin_overview(struct http_exchange *exchange, void *arg)
{
    static const char *const info[] = {"INFO", NULL};
    static const char *const read_account[] = {ACCOUNT_READ, NULL};
    const struct api_context *context = arg;
    char prefix[KEYS_PREFIX_SIZE];
    /* clang-format off */
    const struct redis_query_part parts[] = {
        {.words = info, .write = write_redis, .optional = true},
        {.script = SCRIPT_QUEUE, .prefix = prefix, .write = write_queue},
        {.words = read_account, .write = write_governor, .optional = true},
        {.script = SCRIPT_PROCESSES, .prefix = PROCESSES_PREFIX, .write = write_processes, .optional = true},
    };
    /* clang-format on */
    struct buf head;

    keys_prefix(prefix, 0);
    buf_init(&head, HEAD_MAX);
    write_gateway(&head, context);
    redis_multi_query_send(context->commands, exchange, parts, ARRAY_LENGTH(parts), &head);
    buf_deinit(&head);
}
