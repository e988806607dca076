/* GET /queue: number of tasks by state, counters, number of workers */
#include "common/buf.h"
#include "common/keys.h"
#include "common/redis/script.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/process_report.h"
#include "gateway/api/queue_report.h"
#include "gateway/response/redis_multi_query.h"

static void write_numbers(struct buf *out, const redisReply *reply, int64_t took_us)
{
    (void)took_us;
    queue_report_write(out, reply);
}

static void write_workers(struct buf *out, const redisReply *reply, int64_t took_us)
{
    (void)took_us;
    buf_addf(out, "\"workers\":%zu", process_report_count(reply, "worker"));
}

void api_queue(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char prefix[KEYS_PREFIX_SIZE];
    const struct redis_query_part parts[] = {
        {.script = SCRIPT_QUEUE,      .prefix = prefix,       .write = write_numbers},
        { .script = SCRIPT_PROCESSES, .prefix = PROCESSES_PREFIX, .write = write_workers,       .optional = true},
    };

    keys_prefix(prefix, 0);
    redis_multi_query_send(context->commands, exchange, parts, sizeof(parts) / sizeof(parts[0]), &(struct buf){0});
}
