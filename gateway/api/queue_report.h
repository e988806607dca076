/* api/queue_report - the reply of the script QUEUE as JSON */
#ifndef ARKRELAY_GATEWAY_API_QUEUE_REPORT_H
#define ARKRELAY_GATEWAY_API_QUEUE_REPORT_H

#include "common/redis/client.h"

struct buf;

void queue_report_write(struct buf *out, const redisReply *reply); /* members: "paused":false, ... */

#endif
