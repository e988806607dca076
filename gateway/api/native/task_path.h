/* api/task_path - a task's place among the addresses: read from a request, and written as links */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_TASK_PATH_H
#define ARKRELAY_GATEWAY_API_NATIVE_TASK_PATH_H

#include <stdbool.h>

#include "common/task.h"

struct buf;
struct http_exchange;

/* The full id of the task that the request's path names: one of the client who asks. False: it cannot exist, and that was answered (404). */
bool task_path_read(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE]);

void task_path_add(struct buf *out, const char *task_id);       /* the address itself */
void task_path_add_links(struct buf *out, const char *task_id); /* "links":{"self":...,"stream":...,"cancel":...} */

#endif
