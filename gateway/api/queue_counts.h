/* api/queue_counts - the reply of the script QUEUE as JSON */
#ifndef ARKRELAY_GATEWAY_API_QUEUE_COUNTS_H
#define ARKRELAY_GATEWAY_API_QUEUE_COUNTS_H

#include "common/redis/client.h"

struct buf;

void queue_counts_write(struct buf *out, const redisReply *reply); /* members: "paused":false, ... */

#endif
