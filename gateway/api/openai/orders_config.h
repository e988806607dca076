/* openai/orders_config - what the orders of a loop use, and their times
 *
 * Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ORDERS_CONFIG_H
#define ARKRELAY_GATEWAY_API_OPENAI_ORDERS_CONFIG_H

#include <stdint.h>

struct hub;
struct metrics;
struct redis;
struct storage;
struct submitter;

/* Pointers are borrowed. */
struct orders_config {
    struct hub *hub;
    struct redis *commands;
    struct submitter *submitter;
    struct storage *storage; /* NULL: no b64_json */
    struct metrics *metrics; /* of this thread; NULL: nothing is counted */
    int64_t heartbeat_ms;
    int64_t hold_ms;         /* how long the head is held */
    int64_t retry_window_ms; /* how long an order without a key is found */
};

#endif
