/* gateway_metrics - what a gateway counts; the rows are in gateway_metrics.c, and docs/metrics.md has them all
 *
 * One per process, with values for each thread. Rows that tell of the queue and of the account are asked of Redis for every answer.
 *
 * Threads: created and destroyed on the main thread; a thread counts in its own values, and any may write an answer.
 */
#ifndef ARKRELAY_GATEWAY_METRICS_GATEWAY_METRICS_H
#define ARKRELAY_GATEWAY_METRICS_GATEWAY_METRICS_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared_metrics.h"
#include "common/task_event.h"

struct account;
struct buf;
struct gateway_metrics;
struct http_route;

enum gateway_metric {
    METRIC_HTTP_REQUESTS = METRIC_SHARED_COUNT,
    METRIC_HTTP_CONNECTIONS,
    METRIC_SSE_STREAMS,
    METRIC_SSE_EVENTS,
    METRIC_SSE_LATENCY,
    METRIC_QUEUE_DEPTH,
    METRIC_QUEUE_OLDEST,
    METRIC_QUEUE_PAUSED,
    METRIC_TASKS,
    METRIC_PAID_CALLS,
    METRIC_GOVERNOR_TOKENS,
    METRIC_GOVERNOR_PAUSED,
    METRIC_GOVERNOR_LIMIT,
    METRIC_GOVERNOR_RATE,
    METRIC_GOVERNOR_LIMITED,
    METRIC_GOVERNOR_CALLS,
    METRIC_BREAKER_OPEN,
    METRIC_BREAKER_SECONDS,
    METRIC_GATEWAY_COUNT,
};

/* METRIC_SSE_EVENTS: an event's type, or what is no event of the log. */
enum sse_kind { SSE_QUEUE_POSITION = EVENT_TYPE_COUNT, SSE_RESET, SSE_KIND_COUNT };

/* `routes` is borrowed: the values of the label `route`. NULL: out of memory. */
struct gateway_metrics *gateway_metrics_create(size_t threads, const struct http_route *routes, size_t route_count);
struct gateway_metrics *
gateway_metrics_destroy(struct gateway_metrics *gateway_metrics); /* accepts NULL; returns NULL */

struct metrics *gateway_metrics_of_thread(struct gateway_metrics *gateway_metrics, size_t thread);
size_t gateway_metrics_threads(const struct gateway_metrics *gateway_metrics);

/* An answer to a request: route is one of the rows given to gateway_metrics_create, or NULL. */
void gateway_metrics_count_response(const struct gateway_metrics *gateway_metrics, struct metrics *metrics,
                                    const struct http_route *route, int status);

/* Of all threads. */
int64_t gateway_metrics_sum(const struct gateway_metrics *gateway_metrics, struct sample sample);

/* -- one answer to /metrics */

/* The values that are asked for: NULL when out of memory; metrics_destroy frees them. */
struct metrics *gateway_metrics_ask(const struct gateway_metrics *gateway_metrics);

/* What Redis said: to QUEUE, whose time it returns (0: it said nothing of use); and of the account. */
int64_t gateway_metrics_take_queue(struct metrics *asked, const redisReply *reply);
void gateway_metrics_take_account(struct metrics *asked, const struct account *account, int64_t now_ms);

void gateway_metrics_write(struct buf *out, const struct gateway_metrics *gateway_metrics, const struct metrics *asked);

#endif
