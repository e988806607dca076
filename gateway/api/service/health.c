/* GET /livez and /readyz: is the process alive, and would it accept a task now? */
#include "common/base/buf.h"
#include "gateway/api/context.h"
#include "gateway/api/service/endpoints.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 256 };

static void respond_text(struct http_exchange *exchange, const char *json)
{
    struct buf body;

    buf_init(&body, RESPONSE_MAX);
    buf_add_text(&body, json);
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_livez(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    respond_text(exchange, "{\"status\":\"ok\"}");
}

static void readyz_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    int64_t paused;

    (void)unused;
    if (script_int(reply, 2, &paused))
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    else
        respond_text(exchange,
                     paused ? "{\"status\":\"ready\",\"paused\":true}" : "{\"status\":\"ready\",\"paused\":false}");
}

void api_readyz(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;

    if (context->draining)
        respond_problem(exchange, PROBLEM_DRAINING, NULL);
    else if (atomic_load(context->redis_ready) < context->redis_connections)
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    else
        redis_query_send(context->commands, exchange,
                         &(struct redis_query){.script = SCRIPT_READY, .answer = readyz_on_reply});
}
