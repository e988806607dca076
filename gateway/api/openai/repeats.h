/* openai/repeats - what identifies a repeated request, and whether its answer was delivered (script DELIVERY)
 *
 * A client that did not get its answer sends its request again. Such a request must not make images a second time:
 *   - A request with an Idempotency-Key belongs to the order of that key.
 *   - One without a key belongs to an order with the same body whose answer was never delivered whole. Each such order is found once, so
 *     parallel equal requests stay separate orders.
 *   - One that says that it is a retry (X-Stainless-Retry-Count) may also belong to the latest equal order that was delivered: the answer
 *     may have been lost behind a proxy.
 *
 * SUBMIT_ORDER finds the order (gateway/tasks/submit.h). Order ids: random, or derived from the key, so that two requests with the same
 * new key cannot make two orders.
 *
 * Ownership: nothing is kept of an identity.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_REPEATS_H
#define ARKRELAY_GATEWAY_API_OPENAI_REPEATS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/task/task.h"
#include "gateway/tasks/submit.h"

struct http_exchange;
struct http_request;
struct redis;

/* Of a new order. `body`: the JSON of the body in canonical form. */
int order_identity_make(struct order_identity *out, const struct http_request *request, const char *client,
                        const char *body) MUST_CHECK;

/* The id of one of `count` tasks. */
void order_task_id(char out[TASK_ID_MAX + 1], const struct order_identity *identity, size_t index, size_t count);

struct repeats {
    struct redis *commands; /* borrowed */
    int64_t window_ms;      /* how long an order without a key is found */
};

enum order_delivery {
    ORDER_ANSWERED,   /* the answer was sent */
    ORDER_UNANSWERED, /* it was not delivered whole, or an error was sent although the tasks exist */
};
void repeats_report(const struct repeats *repeats, const struct order_identity *identity, enum order_delivery delivery);

/* The answer is about to be sent: reported at once, since a client may repeat its request before it is certain that the answer has arrived.
 * If it turns out that it has not, that is reported too. */
void repeats_answered(const struct repeats *repeats, const struct order_identity *identity,
                      struct http_exchange *exchange);

#endif
