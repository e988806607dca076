/* GET /queue: number of tasks by state, counters, number of workers, what the tasks wait for */
#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/account/account.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/process_list.h"
#include "gateway/api/queue_counts.h"
#include "gateway/response/redis_multi_query.h"
#include "gateway/tasks/queue_reply.h"

static void write_numbers(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    if (script_int(reply, QUEUE_NOW, &notes->now_ms))
        notes->now_ms = 0;
    queue_counts_write(out, reply);
}

static void write_workers(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    (void)notes;
    buf_addf(out, "\"workers\":%zu", process_list_count_workers(reply));
}

static void write_waiting_for(struct buf *out, const redisReply *reply, struct redis_query_notes *notes)
{
    struct account account;

    account_read(&account, reply);
    buf_add_text(out, "\"waiting_for\":");
    account_wait_write(out, &(struct account_wait){.account = &account, .now_ms = notes->now_ms});
}

void api_queue(struct http_exchange *exchange, void *arg)
{
    static const char *const read_account[] = {ACCOUNT_READ, NULL};
    const struct api_context *context = arg;
    char prefix[KEYS_PREFIX_SIZE];
    /* clang-format off */
    const struct redis_query_part parts[] = {
        {.script = SCRIPT_QUEUE, .prefix = prefix, .write = write_numbers},
        {.script = SCRIPT_PROCESSES, .prefix = PROCESSES_PREFIX, .write = write_workers, .optional = true},
        {.words = read_account, .write = write_waiting_for, .optional = true, .last = true},
    };
    /* clang-format on */

    keys_prefix(prefix, 0);
    redis_multi_query_send(context->commands, exchange, parts, ARRAY_LENGTH(parts), &(struct buf){0});
}
