/* queue_reply - the reply of the script QUEUE */
#ifndef ARKRELAY_GATEWAY_TASKS_QUEUE_REPLY_H
#define ARKRELAY_GATEWAY_TASKS_QUEUE_REPLY_H

/* The elements. */
enum queue_reply {
    QUEUE_NOW,
    QUEUE_PAUSED,
    QUEUE_NUMBERS, /* queued, delayed, running, dead */
    QUEUE_NUMBER_COUNT = 4,
    QUEUE_OLDEST = QUEUE_NUMBERS + QUEUE_NUMBER_COUNT,
    QUEUE_ENDED,
    QUEUE_MEMORY_FULL, /* ms; -1: never, or unknown */
    QUEUE_COUNTERS,    /* name, number, name, number ... */
};

#endif
