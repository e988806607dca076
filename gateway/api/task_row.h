/* task_row - a task in the replies of the scripts MINE, TASKS and STORY, as JSON */
#ifndef ARKRELAY_GATEWAY_API_TASK_ROW_H
#define ARKRELAY_GATEWAY_API_TASK_ROW_H

#include "common/redis/client.h"

struct buf;

/* Members, without braces. */
typedef void task_row_fn(struct buf *out, const redisReply *row);
task_row_fn task_row_write;     /* for operators */
task_row_fn task_row_write_own; /* for the client that owns the task */

/* {"tasks":[...],"next":...}: a reply of MINE or TASKS. `next` is the cursor of the next page, or null. */
void task_row_write_page(struct buf *out, const redisReply *page, task_row_fn *write_one);

#endif
