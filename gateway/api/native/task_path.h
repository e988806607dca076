/* task_path - the task that a URL names, and the URLs of a task */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_TASK_PATH_H
#define ARKRELAY_GATEWAY_API_NATIVE_TASK_PATH_H

#include <stdbool.h>

#include "common/task/task.h"

struct buf;
struct http_exchange;

/* The full id of the task in the request's path, always a task of the requesting client. False: the id is invalid, and the exchange
 * was answered with 404. */
bool task_path_read(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE]);

void task_path_add(struct buf *out, const char *task_id);       /* API_BASE "/tasks/<task_id>" */
void task_path_add_links(struct buf *out, const char *task_id); /* "links":{"self":...,"stream":...,"cancel":...} */

#endif
