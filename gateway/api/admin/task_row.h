/* task_row - a task in the replies of the scripts TASKS and STORY, as JSON */
#ifndef ARKRELAY_GATEWAY_API_ADMIN_TASK_ROW_H
#define ARKRELAY_GATEWAY_API_ADMIN_TASK_ROW_H

#include "common/redis/client.h"

struct buf;

void task_row_write(struct buf *out, const redisReply *row); /* members, without braces */

#endif
