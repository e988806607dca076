/* GET /admin/tasks: tasks of all clients, by state, in pages */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/task.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/api/query.h"
#include "gateway/api/task_row.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024 };

static void tasks_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    if (strcmp(script_answer(reply), "TASKS") != 0) {
        respond_problem(exchange, PROBLEM_INVALID_QUERY, "cursor: not a cursor of this list.");
        return;
    }
    buf_init(&body, RESPONSE_MAX);
    task_row_write_page(&body, reply, task_row_write);
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

static bool is_state(const char *state)
{
    static const char *const names[] = {"queued", "delayed",   "running", "live", "done",
                                        "failed", "cancelled", "ended",   "dead"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(names[i], state) == 0)
            return true;
    return false;
}

void api_admin_tasks(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char state[16] = "live", cursor[TASK_FULL_ID_SIZE + 32] = "", limit[8], search[TASK_FULL_ID_SIZE] = "";
    const struct query_parameter parameters[] = {
        {"state",  state,  sizeof(state) },
        {"cursor", cursor, sizeof(cursor)},
        {"limit",  limit,  sizeof(limit) },
        {"q",      search, sizeof(search)},
    };

    (void)snprintf(limit, sizeof(limit), "%d", QUERY_PAGE);
    if (!query_read(exchange, parameters, ARRAY_LENGTH(parameters)))
        return;
    if (!is_state(state))
        respond_problem(exchange, PROBLEM_INVALID_QUERY,
                        "state: queued, delayed, running, live, done, failed, cancelled, ended or dead.");
    else if (!query_is_page_size(limit))
        respond_problem(exchange, PROBLEM_INVALID_QUERY, QUERY_PAGE_WORDS);
    else
        redis_query_send(context->commands, exchange,
                         &(struct redis_query){
                             .script = SCRIPT_TASKS, .args = {state, cursor, limit, search},
                                  .answer = tasks_on_reply
        });
}
