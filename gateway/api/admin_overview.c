/* GET /admin/overview: all that a dashboard shows of the whole, in one answer */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/keys.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"
#include "gateway/api/admin_processes.h"
#include "gateway/api/queue.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/gateway_metrics.h"
#include "gateway/gather.h"

#define ACCOUNT_GOVERNOR "arkrelay:{account}:governor"

enum { HEAD_MAX = 256, TEXT_MAX = 64 };

/* A number of Redis, as a number of JSON; null for anything else. */
static void add_number(struct buf *out, const char *name, const char *text, size_t len)
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

static void add_text(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_addf(out, "\"%s\":", name);
    if (text)
        buf_add_json(out, text, len);
    else
        buf_add_text(out, "null");
}

static void add_flag(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_addf(out, "\"%s\":%s", name, text && len == 1 && *text == '1' ? "true" : "false");
}

struct row {
    const char *theirs, *ours;
    void (*add)(struct buf *out, const char *name, const char *text, size_t len);
};

/* -- Redis itself */

static const struct row info_rows[] = {
    {"redis_version",             "version",                   add_text  },
    {"role",                      "role",                      add_text  },
    {"uptime_in_seconds",         "uptime_seconds",            add_number},
    {"connected_clients",         "connected_clients",         add_number},
    {"used_memory",               "used_memory",               add_number},
    {"maxmemory",                 "maxmemory",                 add_number},
    {"instantaneous_ops_per_sec", "operations_per_second",     add_number},
    {"evicted_keys",              "evicted_keys",              add_number},
    {"aof_enabled",               "aof_enabled",               add_flag  },
    {"aof_last_write_status",     "aof_last_write_status",     add_text  },
    {"rdb_last_bgsave_status",    "snapshot_last_save_status", add_text  },
    {"connected_slaves",          "replicas",                  add_number},
};

/* The value of the line "name:value"; NULL when there is none. */
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

static void write_redis(struct buf *out, const redisReply *reply, int64_t took_us)
{
    const char *info = reply && reply->type == REDIS_REPLY_STRING ? reply->str : "";

    buf_addf(out, "\"redis\":{\"round_trip_ms\":%" PRId64 ".%03d", took_us / 1000, (int)(took_us % 1000));
    for (size_t i = 0; i < sizeof(info_rows) / sizeof(info_rows[0]); i++) {
        size_t len = 0;
        const char *text = info_find(info, info_rows[i].theirs, &len);

        buf_add_char(out, ',');
        info_rows[i].add(out, info_rows[i].ours, text, len);
    }
    buf_add_char(out, '}');
}

/* -- the ARK account */

static const struct row governor_rows[] = {
    {"tokens",       "tokens",          add_number},
    {"filled_at",    "filled_at_ms",    add_number},
    {"paused_until", "paused_until_ms", add_number},
    {"limit",        "limit",           add_number},
    {"calls",        "calls",           add_number},
};

static void write_governor(struct buf *out, const redisReply *reply, int64_t took_us)
{
    (void)took_us;
    buf_add_text(out, "\"governor\":{");
    for (size_t i = 0; i < sizeof(governor_rows) / sizeof(governor_rows[0]); i++) {
        size_t at = script_field(reply, 0, governor_rows[i].theirs), len = 0;
        const char *text = at ? script_text(reply, at, &len) : NULL;

        if (i)
            buf_add_char(out, ',');
        governor_rows[i].add(out, governor_rows[i].ours, text, len);
    }
    buf_add_char(out, '}');
}

/* -- and the rest */

static void write_queue(struct buf *out, const redisReply *reply, int64_t took_us)
{
    size_t len = 0;
    const char *now = script_text(reply, QUEUE_NOW, &len);

    (void)took_us;
    add_number(out, "now_ms", now, len);
    buf_add_text(out, ",\"queue\":{");
    queue_write(out, reply);
    buf_add_char(out, '}');
}

static void write_processes(struct buf *out, const redisReply *reply, int64_t took_us)
{
    (void)took_us;
    buf_add_text(out, "\"processes\":");
    processes_write(out, reply);
}

static void write_gateway(struct buf *out, const struct gateway *gateway)
{
    const struct gateway_metrics *metrics = gateway->config.metrics;

    buf_addf(out, "\"gateway\":{\"version\":\"%s\",\"draining\":%s", ARKRELAY_VERSION,
             gateway->draining ? "true" : "false");
    if (metrics)
        buf_addf(out, ",\"streams\":%" PRId64 ",\"connections\":%" PRId64,
                 gateway_metrics_sum(metrics, SAMPLE(METRIC_SSE_STREAMS)),
                 gateway_metrics_sum(metrics, SAMPLE(METRIC_HTTP_CONNECTIONS)));
    buf_add_char(out, '}');
}

void api_admin_overview(struct http_exchange *exchange, void *arg)
{
    static const char *const info[] = {"INFO", NULL};
    static const char *const governor[] = {"HGETALL", ACCOUNT_GOVERNOR, NULL};
    const struct gateway *gateway = arg;
    char prefix[KEYS_PREFIX_SIZE];
    /* clang-format off */
    const struct gather_question questions[] = {
        {.words = info, .write = write_redis, .optional = true},
        {.script = SCRIPT_QUEUE, .prefix = prefix, .write = write_queue},
        {.words = governor, .write = write_governor, .optional = true},
        {.script = SCRIPT_PROCESSES, .prefix = PROCESSES_PREFIX, .write = write_processes, .optional = true},
    };
    /* clang-format on */
    struct buf head;

    keys_prefix(prefix, 0);
    buf_init(&head, HEAD_MAX);
    write_gateway(&head, gateway);
    gather_ask(gateway->commands, exchange, questions, sizeof(questions) / sizeof(questions[0]), &head);
    buf_deinit(&head);
}
