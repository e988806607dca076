/* openai/repeats - whether a request repeats an earlier one (scripts ORDER and DELIVERY)
 *
 * A client that did not get its answer sends its request again. Such a request must not make images a second time:
 *   - A request with an Idempotency-Key belongs to the order of that key.
 *   - One without a key belongs to an order with the same body whose answer was never delivered whole. Each such order is found once, so
 *     parallel equal requests stay separate orders.
 *   - One that says that it is a retry (X-Stainless-Retry-Count) may also belong to the latest equal order that was delivered: the answer
 *     may have been lost behind a proxy.
 *
 * Order ids: random, or derived from the key, so that two requests with the same new key cannot make two orders.
 *
 * Ownership: calls copy what they need.
 * Threads:   loop thread only.   Units: ms.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_REPEATS_H
#define ARKRELAY_GATEWAY_API_OPENAI_REPEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/task/task.h"
#include "common/task/task_spec.h"

struct http_request;
struct redis;

enum { ORDER_ID_BYTES = 16, ORDER_ID_SIZE = 2 * ORDER_ID_BYTES + 1 };

struct order_identity {
    char client[TASK_CLIENT_MAX + 1];
    char body[TASK_HASH_SIZE];
    char key[TASK_HASH_SIZE];     /* hash of the Idempotency-Key; "": none */
    char order_id[ORDER_ID_SIZE]; /* of the new order, until repeats_ask has found another one */
    size_t count;                 /* tasks */
    bool is_retry;                /* as the client says */
    bool is_known;                /* repeats_ask has found the order */
};

/* `body`: the JSON of the body in canonical form. */
int order_identity_make(struct order_identity *out, const struct http_request *request, const char *client,
                        const char *body, size_t count) MUST_CHECK;
void order_task_id(char out[TASK_ID_MAX + 1], const struct order_identity *identity, size_t index);

struct repeats {
    struct redis *commands; /* borrowed */
    int64_t window_ms;      /* how long an order without a key is found */
    int64_t lifetime_ms;    /* not less than tasks are kept */
};

enum repeat_outcome { REPEAT_FOUND, REPEAT_NEW, REPEAT_CONFLICT, REPEAT_FAILED };
typedef void repeat_fn(enum repeat_outcome outcome, const struct order_identity *identity, void *arg);

struct repeat_call;

/* On success `done` is called exactly once, unless repeats_cancel is called first: then the order is left as if its answer had not been
 * delivered. */
int repeats_ask(const struct repeats *repeats, const struct order_identity *identity, repeat_fn *done, void *arg,
                struct repeat_call **call) MUST_CHECK;
void repeats_cancel(struct repeat_call *call); /* accepts NULL */

enum order_delivery {
    ORDER_ANSWERED,   /* the answer was sent */
    ORDER_UNANSWERED, /* it was not delivered whole, or an error was sent although the tasks exist */
    ORDER_REFUSED,    /* the order has no tasks */
};
void repeats_report(const struct repeats *repeats, const struct order_identity *identity, enum order_delivery delivery);

#endif
