/* POST /admin/queue/pause and /admin/queue/resume: stop and continue the queue for all gateways and workers */
#include <stdbool.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 256 };

static void pause_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    bool paused = strcmp(script_answer(reply), "PAUSED") == 0;
    struct buf body;

    (void)unused;
    log_info("admin", paused ? "queue paused" : "queue resumed", "request_id=%s", http_exchange_request_id(exchange));
    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"paused\":%s}", paused ? "true" : "false");
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

static void set_paused(struct http_exchange *exchange, const struct api_context *context, const char *paused)
{
    redis_query_send(context->commands, exchange,
                     &(struct redis_query){.script = SCRIPT_PAUSE, .args = {paused}, .answer = pause_on_reply});
}

void api_admin_pause(struct http_exchange *exchange, void *arg)
{
    set_paused(exchange, arg, "1");
}

void api_admin_resume(struct http_exchange *exchange, void *arg)
{
    set_paused(exchange, arg, "0");
}
