/* GET /livez and /readyz: is the process alive, and would it take a task now? */
#include "common/buf.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/store.h"

enum { ANSWER_MAX = 256 };

static void answer_text(struct http_exchange *exchange, const char *json)
{
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    buf_add_text(&body, json);
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_livez(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    answer_text(exchange, "{\"status\":\"ok\"}");
}

static void on_ready(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    int64_t paused;

    (void)arg;
    if (script_int(reply, 2, &paused))
        answer_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    else
        answer_text(exchange,
                    paused ? "{\"status\":\"ready\",\"paused\":true}" : "{\"status\":\"ready\",\"paused\":false}");
}

void api_readyz(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;

    if (gateway->draining)
        answer_problem(exchange, PROBLEM_DRAINING, NULL);
    else if (!gateway_is_connected(gateway))
        answer_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    else
        store_ask(gateway->commands, exchange, &(struct store_question){.script = SCRIPT_READY, .answer = on_ready});
}
