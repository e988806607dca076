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
 * While Redis is away, reports are kept, up to REPORTS_KEPT_MAX, and sent when it is there again: a client that got 503 because the reply
 * of SUBMIT_ORDER was lost repeats its request then.
 *
 * Ownership: identities are copied.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_REPEATS_H
#define ARKRELAY_GATEWAY_API_OPENAI_REPEATS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

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

enum { REPORTS_KEPT_MAX = 1000 };

struct kept_report;

STAILQ_HEAD(kept_reports, kept_report);

struct repeats {
    struct redis *commands; /* borrowed */
    int64_t window_ms;      /* how long an order without a key is found */
    struct kept_reports kept;
    size_t kept_count;
};

void repeats_init(struct repeats *repeats, struct redis *commands, int64_t window_ms);
void repeats_deinit(struct repeats *repeats);
void repeats_on_commands_ready(struct repeats *repeats); /* the connection to Redis is there again */

enum order_delivery {
    ORDER_ANSWERED,   /* the answer was sent */
    ORDER_UNANSWERED, /* it was not delivered whole, or an error was sent although the tasks exist */
};
void repeats_report(struct repeats *repeats, const struct order_identity *identity, enum order_delivery delivery);

/* The answer is about to be sent: reported at once, since a client may repeat its request before it is certain that the answer has arrived.
 * If it turns out that it has not, that is reported too. */
void repeats_answered(struct repeats *repeats, const struct order_identity *identity, struct http_exchange *exchange);

#endif
