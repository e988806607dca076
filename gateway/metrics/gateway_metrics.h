/* gateway_metrics - the rows of the gateway's /metrics, and their counters
 *
 * The rows are in gateway_metrics.c; docs/metrics.md describes them. One object per process, with a set of counters for each thread.
 * Rows about the queue and the ARK account are not counted here but read from Redis for every scrape.
 *
 * Threads: created and destroyed on the main thread. Each thread changes its own counters; any thread may write a response.
 */
#ifndef ARKRELAY_GATEWAY_METRICS_GATEWAY_METRICS_H
#define ARKRELAY_GATEWAY_METRICS_GATEWAY_METRICS_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ops/shared_metrics.h"
#include "common/task/task_event.h"

struct account;
struct buf;
struct gateway_metrics;
struct http_route;
struct spending;

enum gateway_metric {
    METRIC_HTTP_REQUESTS = METRIC_SHARED_COUNT,
    METRIC_HTTP_CONNECTIONS,
    METRIC_SSE_STREAMS,
    METRIC_SSE_EVENTS,
    METRIC_SSE_LATENCY,
    METRIC_OPENAI_REQUESTS,
    METRIC_OPENAI_REPEATS,
    METRIC_QUEUE_DEPTH,
    METRIC_QUEUE_OLDEST,
    METRIC_MEMORY_FULL,
    METRIC_QUEUE_PAUSED,
    METRIC_TASKS,
    METRIC_PAID_CALLS,
    METRIC_WEBHOOKS_WAITING,
    METRIC_WEBHOOKS_FAILED,
    METRIC_WEBHOOK_LANES_FAILING,
    METRIC_WEBHOOK_FAILING_SECONDS,
    METRIC_GOVERNOR_TOKENS,
    METRIC_GOVERNOR_PAUSED,
    METRIC_GOVERNOR_LIMIT,
    METRIC_GOVERNOR_RATE,
    METRIC_GOVERNOR_LIMITED,
    METRIC_GOVERNOR_CALLS,
    METRIC_BREAKER_OPEN,
    METRIC_BREAKER_SECONDS,
    METRIC_SPENDING,
    METRIC_SPENDING_NEAR,
    METRIC_SPENDING_REFUSED,
    METRIC_GATEWAY_COUNT,
};

/* Label of METRIC_SSE_EVENTS: an event type, or a frame that is not an event of the log. */
enum sse_kind { SSE_HINT = EVENT_TYPE_COUNT, SSE_RESET, SSE_KIND_COUNT };

/* Labels of METRIC_OPENAI_REQUESTS: the endpoint, and what became of a request. */
enum openai_endpoint { OPENAI_GENERATIONS, OPENAI_EDITS, OPENAI_ENDPOINT_COUNT };
enum openai_outcome {
    OPENAI_DONE,    /* all tasks have images */
    OPENAI_PARTIAL, /* some of them */
    OPENAI_FAILED,  /* none */
    OPENAI_INVALID, /* the request is not valid */
    OPENAI_REFUSED, /* a limit, a conflict, or Redis is away */
    OPENAI_CUT,     /* the connection was ended after the head, for a failure or a drain */
    OPENAI_GONE,    /* the client left */
    OPENAI_OUTCOME_COUNT
};

const char *gateway_metrics_openai_outcome(enum openai_outcome outcome); /* "done" */

/* `routes` is borrowed: the values of the label `route`. NULL: out of memory. */
struct gateway_metrics *gateway_metrics_create(size_t threads, const struct http_route *routes, size_t route_count);
struct gateway_metrics *
gateway_metrics_destroy(struct gateway_metrics *gateway_metrics); /* accepts NULL; returns NULL */

struct metrics *gateway_metrics_of_thread(struct gateway_metrics *gateway_metrics, size_t thread);

/* `route` is one of the rows given to gateway_metrics_create, or NULL. */
void gateway_metrics_count_response(const struct gateway_metrics *gateway_metrics, struct metrics *metrics,
                                    const struct http_route *route, int status);

/* What RESERVE has answered: counts tasks that were refused, and those after which little is left of a limit. */
void gateway_metrics_count_spending(struct metrics *metrics, const struct spending *spending);

/* The sum over all threads. */
int64_t gateway_metrics_sum(const struct gateway_metrics *gateway_metrics, struct sample sample);

/* -- one scrape */

/* A set of counters for the values read from Redis. NULL: out of memory. Free with metrics_destroy. */
struct metrics *gateway_metrics_begin_scrape(const struct gateway_metrics *gateway_metrics);

/* From the reply of QUEUE. Returns the time of Redis in ms; 0 if the reply is unusable. */
int64_t gateway_metrics_set_queue(struct metrics *scraped, const redisReply *reply);
/* From the reply of LEDGER for all clients together, and the limits in micro-units (0: none). */
void gateway_metrics_set_spending(struct metrics *scraped, const redisReply *reply, int64_t day_limit,
                                  int64_t month_limit);

void gateway_metrics_set_webhooks(struct metrics *scraped, const redisReply *reply); /* of WEBHOOKS */
void gateway_metrics_set_account(struct metrics *scraped, const struct account *account, int64_t now_ms);

void gateway_metrics_write(struct buf *out, const struct gateway_metrics *gateway_metrics,
                           const struct metrics *scraped);

#endif
