/* task_action - shared by the endpoints below /admin/tasks/{id}: run a script for the task, log what was done, respond */
#ifndef ARKRELAY_GATEWAY_API_ADMIN_TASK_ACTION_H
#define ARKRELAY_GATEWAY_API_ADMIN_TASK_ACTION_H

#include <stdint.h>

#include "common/task/task.h"
#include "gateway/response/redis_query.h"

struct api_context;
struct http_exchange;

/* Runs the script with the full id in the request's path and one argument, which may be NULL. 404 if the id is invalid. */
void task_action_send(const struct api_context *context, struct http_exchange *exchange, enum script_id script,
                      const char *argument, redis_query_fn *answer);

void task_action_log(struct http_exchange *exchange, const char *what);

/* {"id":...,"status":...} and, unless negative, "epoch". */
void task_action_respond(struct http_exchange *exchange, int http_status, enum task_state state, int64_t epoch);

#endif
