/* webhooks - the kind of the outbox that delivers events to the receivers that requests name
 *
 *     LEASE -> POST, signed ... -> SETTLE delivered, again, busy or failed
 *
 * What an answer means is decided by common/webhook/verdict.h; Redis keeps the schedule and delays a host that fails. A delivery whose worker is
 * lost is repeated under the same webhook-id, so a receiver may get it twice.
 *
 * A request goes only to addresses of the public internet, unless private ones are allowed: the address that is connected to counts. No
 * redirects, no proxy. Of the answer only the head matters; at most ANSWER_MAX bytes of its body are read.
 *
 * Ownership: borrows everything in its config. Destroy the outbox first.
 * Threads:   loop thread only.   Units: ms.
 * Errors:    each failed attempt is logged once, with the client and the host; the rest of a URL may be a secret.
 */
#ifndef ARKRELAY_WORKER_OUTBOX_WEBHOOKS_H
#define ARKRELAY_WORKER_OUTBOX_WEBHOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/outbox/outbox.h"

struct metrics;
struct web;
struct webhooks;

struct webhooks_config {
    struct web *web;
    struct metrics *metrics; /* may be NULL */
    const char *master;      /* WEBHOOK_SECRET */
    bool any_host;           /* also addresses that are not public */
    int concurrency;
    int64_t timeout_ms; /* of an attempt, connection included */
};

struct webhooks *webhooks_create(const struct webhooks_config *config); /* NULL when out of memory */
struct webhooks *webhooks_destroy(struct webhooks *webhooks);           /* accepts NULL; returns NULL */

const struct outbox_kind *webhooks_kind(const struct webhooks *webhooks); /* for outbox_create */

#endif
