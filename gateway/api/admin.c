/* POST /admin/queue/pause and /admin/queue/resume, and who may */
#include "gateway/api/admin.h"

#include <stdbool.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/gateway_options.h"
#include "gateway/keys/bearer.h"
#include "gateway/store.h"

#define ADMIN_PATH   "/admin/"
#define METRICS_PATH "/metrics"

enum { ANSWER_MAX = 256 };

/* -- the door */

/* The numbers for monitoring belong to operators as soon as they have a key; a scraper inside a closed network needs none. */
static bool is_metrics(struct http_text path)
{
    return http_text_is(path, METRICS_PATH);
}

static bool is_admin(struct http_text path)
{
    return path.len >= strlen(ADMIN_PATH) && memcmp(path.data, ADMIN_PATH, strlen(ADMIN_PATH)) == 0;
}

void admin_guard(const struct gateway *gateway, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    const char *key = gateway->config.options->admin_key;

    if (!is_admin(request->path) && (!is_metrics(request->path) || !*key))
        return;
    if (!*key)
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_NOT_FOUND});
    else if (request->method != HTTP_OPTIONS && !bearer_is(bearer_token(request), key))
        bearer_refuse(exchange);
}

/* -- the queue's switch */

static void answer_paused(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    bool paused = strcmp(script_answer(reply), "PAUSED") == 0;
    struct buf body;

    (void)arg;
    log_info("admin", paused ? "the queue is paused" : "the queue goes on", "request_id=%s",
             http_exchange_request_id(exchange));
    buf_init(&body, ANSWER_MAX);
    buf_addf(&body, "{\"paused\":%s}", paused ? "true" : "false");
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

static void set_paused(struct http_exchange *exchange, const struct gateway *gateway, const char *paused)
{
    store_ask(gateway->commands, exchange,
              &(struct store_question){.script = SCRIPT_PAUSE, .args = {paused}, .answer = answer_paused});
}

void api_admin_pause(struct http_exchange *exchange, void *arg)
{
    set_paused(exchange, arg, "1");
}

void api_admin_resume(struct http_exchange *exchange, void *arg)
{
    set_paused(exchange, arg, "0");
}
