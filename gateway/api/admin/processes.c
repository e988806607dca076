/* GET /admin/processes: the gateways and workers that are running */
#include "common/base/buf.h"
#include "common/task/scripts.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/api/process_list.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024 };

static void processes_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    buf_init(&body, RESPONSE_MAX);
    buf_add_text(&body, "{\"processes\":");
    process_list_write(&body, reply);
    buf_add_char(&body, '}');
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_admin_processes(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;

    redis_query_send(
        context->commands, exchange,
        &(struct redis_query){.script = SCRIPT_PROCESSES, .prefix = PROCESSES_PREFIX, .answer = processes_on_reply});
}
