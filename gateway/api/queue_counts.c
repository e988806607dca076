#include "gateway/api/queue_counts.h"

#include <inttypes.h>

#include "common/base/buf.h"
#include "common/task/scripts.h"
#include "gateway/tasks/queue_reply.h"

static const char *const names[QUEUE_NUMBER_COUNT] = {"depth", "delayed", "running", "dead"};

static int64_t queue_number(const redisReply *reply, size_t at)
{
    int64_t value;

    return script_int(reply, at, &value) ? 0 : value;
}

static void add_memory_full(struct buf *out, const redisReply *reply)
{
    int64_t full_ms;

    buf_add_text(out, ",\"memory_full_ms\":");
    if (!script_int(reply, QUEUE_MEMORY_FULL, &full_ms) && full_ms >= 0)
        buf_add_int(out, full_ms);
    else
        buf_add_text(out, "null");
}

void queue_counts_write(struct buf *out, const redisReply *reply)
{
    int64_t oldest = queue_number(reply, QUEUE_OLDEST), age_ms = queue_number(reply, QUEUE_NOW) - oldest;
    const char *name;

    buf_addf(out, "\"paused\":%s", queue_number(reply, QUEUE_PAUSED) ? "true" : "false");
    for (size_t i = 0; i < QUEUE_NUMBER_COUNT; i++)
        buf_add_int_member(out, names[i], queue_number(reply, QUEUE_NUMBERS + i));
    buf_add_text(out, ",\"oldest_age_ms\":");
    if (oldest)
        buf_add_int(out, age_ms > 0 ? age_ms : 0);
    else
        buf_add_text(out, "null");
    add_memory_full(out, reply);
    buf_addf(out, ",\"rates\":{\"ended_per_minute\":%" PRId64 "},\"counters\":{", queue_number(reply, QUEUE_ENDED));
    for (size_t i = QUEUE_COUNTERS; (name = script_text(reply, i, NULL)); i += 2)
        buf_addf(out, "%s\"%s\":%" PRId64, i == QUEUE_COUNTERS ? "" : ",", name, queue_number(reply, i + 1));
    buf_add_char(out, '}');
}
