/* task_action - the endpoints that change a task: POST /admin/tasks/{id}/cancel and /retry, DELETE /admin/tasks/{id}
 *
 * Each runs one script for the task, logs what was done, and responds.
 */
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

#endif
