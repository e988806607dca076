/* api/queue - the queue's numbers, as QUEUE answers them */
#ifndef ARKRELAY_GATEWAY_API_QUEUE_REPORT_H
#define ARKRELAY_GATEWAY_API_QUEUE_REPORT_H

#include "common/redis/client.h"

/* The elements of QUEUE's answer. */
enum queue_answer {
    QUEUE_NOW,
    QUEUE_PAUSED,
    QUEUE_NUMBERS, /* waiting, delayed, running, dead */
    QUEUE_NUMBER_COUNT = 4,
    QUEUE_OLDEST = QUEUE_NUMBERS + QUEUE_NUMBER_COUNT,
    QUEUE_ENDED,
    QUEUE_COUNTERS, /* name, number, name, number ... */
};

struct buf;

void queue_report_write(struct buf *out, const redisReply *reply); /* members: "paused":false, ... */

#endif
