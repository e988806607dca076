/* api/queue_report - the reply of the script QUEUE, and the same as JSON */
#ifndef ARKRELAY_GATEWAY_API_QUEUE_REPORT_H
#define ARKRELAY_GATEWAY_API_QUEUE_REPORT_H

#include "common/redis/client.h"

/* The elements of the reply. */
enum queue_reply {
    QUEUE_NOW,
    QUEUE_PAUSED,
    QUEUE_NUMBERS, /* queued, delayed, running, dead */
    QUEUE_NUMBER_COUNT = 4,
    QUEUE_OLDEST = QUEUE_NUMBERS + QUEUE_NUMBER_COUNT,
    QUEUE_ENDED,
    QUEUE_COUNTERS, /* name, number, name, number ... */
};

struct buf;

void queue_report_write(struct buf *out, const redisReply *reply); /* members: "paused":false, ... */

#endif
