/* GET /queue: the queue at a glance */
#include <inttypes.h>

#include "common/buf.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/store.h"

enum {
    ANSWER_MAX = 4096,
    AT_NOW = 0, /* elements of QUEUE's answer */
    AT_PAUSED,
    AT_NUMBERS, /* as many as there are names below */
    NUMBERS = 4,
    AT_OLDEST = AT_NUMBERS + NUMBERS,
    AT_COUNTERS, /* name, number, name, number ... */
};

static const char *const names[NUMBERS] = {"depth", "delayed", "running", "dead"};

static int64_t number(const redisReply *reply, size_t at)
{
    int64_t value;

    return script_int(reply, at, &value) ? 0 : value;
}

static void write_queue(struct buf *out, const redisReply *reply)
{
    int64_t oldest = number(reply, AT_OLDEST), age_ms = number(reply, AT_NOW) - oldest;
    const char *name;

    buf_addf(out, "{\"paused\":%s", number(reply, AT_PAUSED) ? "true" : "false");
    for (size_t i = 0; i < NUMBERS; i++)
        buf_addf(out, ",\"%s\":%" PRId64, names[i], number(reply, AT_NUMBERS + i));
    buf_add_text(out, ",\"oldest_age_ms\":");
    if (oldest)
        buf_add_int(out, age_ms > 0 ? age_ms : 0);
    else
        buf_add_text(out, "null");
    buf_add_text(out, ",\"counters\":{");
    for (size_t i = AT_COUNTERS; (name = script_text(reply, i, NULL)); i += 2)
        buf_addf(out, "%s\"%s\":%" PRId64, i == AT_COUNTERS ? "" : ",", name, number(reply, i + 1));
    buf_add_text(out, "}}");
}

static void on_answer(struct http_exchange *exchange, const redisReply *reply)
{
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    write_queue(&body, reply);
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_queue(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;

    store_ask(gateway->commands, exchange, &(struct store_question){.script = SCRIPT_QUEUE, .answer = on_answer});
}
