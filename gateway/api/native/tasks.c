/* GET /tasks: the client's own tasks, newest first, in pages */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/task.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/query.h"
#include "gateway/api/task_row.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024, CURSOR_SIZE = TASK_ID_MAX + 32 };

static void own_tasks_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    if (strcmp(script_answer(reply), "MINE") != 0) {
        respond_problem(exchange, PROBLEM_INVALID_QUERY, "cursor: not a cursor of this list.");
        return;
    }
    buf_init(&body, RESPONSE_MAX);
    task_row_write_page(&body, reply, task_row_write_own);
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

static bool is_state(const char *state)
{
    static const char *const names[] = {"all",  "queued", "delayed",   "running", "live",
                                        "done", "failed", "cancelled", "ended"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(names[i], state) == 0)
            return true;
    return false;
}

void api_own_tasks(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char state[16] = "all", cursor[CURSOR_SIZE] = "", limit[8];
    const struct query_parameter parameters[] = {
        {"state",  state,  sizeof(state) },
        {"cursor", cursor, sizeof(cursor)},
        {"limit",  limit,  sizeof(limit) },
    };

    if (!context->task_list) {
        respond_problem(exchange, PROBLEM_NOT_FOUND,
                        "This gateway keeps no list of a client's tasks (GATEWAY_TASK_LIST).");
        return;
    }
    (void)snprintf(limit, sizeof(limit), "%d", QUERY_PAGE);
    if (!query_read(exchange, parameters, ARRAY_LENGTH(parameters)))
        return;
    if (!is_state(state))
        respond_problem(exchange, PROBLEM_INVALID_QUERY,
                        "state: all, queued, delayed, running, live, done, failed, cancelled or ended.");
    else if (!query_is_page_size(limit))
        respond_problem(exchange, PROBLEM_INVALID_QUERY, QUERY_PAGE_WORDS);
    else
        redis_query_send(context->commands, exchange,
                         &(struct redis_query){
                             .script = SCRIPT_MINE,
                             .args = {admission_client(exchange)->name, state, cursor, limit},
                             .answer = own_tasks_on_reply,
        });
}
