/* openai/order - one request of the OpenAI door: its tasks, and its answer
 *
 *     ASKING --tasks accepted--------> HELD --first image, or hold_ms--> OPEN --all tasks ended--> CLOSED
 *        |                               |
 *        '-- refused: an error ----------'-- all tasks ended: the whole answer --> CLOSED
 *
 * ASKING and HELD send nothing, so that every error has its status: SDKs do not look for errors in a 200. From OPEN on, the head has been
 * sent, and the connection is kept busy: white space in front of the JSON, or comments between events. If all tasks fail then, JSON
 * ends without its last chunk, which every client reports as a broken connection, and a stream ends with an `error` event.
 *
 * An order whose client leaves is closed. Its tasks continue: they may be paid for already. In ASKING one step submits the tasks, unless
 * the request repeats an order (repeats.h): then a second step submits the tasks of that order.
 *
 * Events of the door have no `id:`, and no block is without data: OpenAI's Python SDK fails on both. So a comment has no empty line
 * after it.
 *
 * Ownership: an order owns itself from order_open to its end.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ORDER_H
#define ARKRELAY_GATEWAY_API_OPENAI_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/api/openai/fields.h"
#include "gateway/api/openai/orders_config.h"
#include "gateway/metrics/gateway_metrics.h"

struct client;
struct http_exchange;
struct loop;
struct orders;
struct submission;

/* All orders of one loop. */
struct orders *orders_create(struct loop *loop, const struct orders_config *config); /* NULL when out of memory */
struct orders *orders_destroy(struct orders *orders); /* accepts NULL; no order is open; returns NULL */

void orders_on_commands_ready(struct orders *orders); /* the connection for commands is there again */

/* Ends all orders so that their clients repeat the request. Submissions under way are answered first. */
void orders_drain(struct orders *orders);

/* Counts a request that makes no order. */
void orders_count(const struct orders *orders, enum openai_endpoint endpoint, enum openai_outcome outcome);

struct order_request {
    struct client *client;          /* borrowed: counts its open streams */
    struct submission **submission; /* one per task, without an id; the submissions are taken over, the list is not */
    size_t count;                   /* 1 to OPENAI_N_MAX */
    const struct order_identity *identity; /* copied */
    bool stream, transparent, png;         /* png: ARK is asked for it */
    enum openai_format format;
    enum openai_endpoint endpoint;
};

/* Answers the exchange, now or later. */
void order_open(struct orders *orders, struct http_exchange *exchange, const struct order_request *request);

#endif
