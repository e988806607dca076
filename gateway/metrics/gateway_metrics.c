#include "gateway/metrics/gateway_metrics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/http/server.h"
#include "common/task/scripts.h"
#include "gateway/account/account.h"
#include "gateway/response/spending.h"
#include "gateway/tasks/queue_reply.h"

enum {
    ROUTES_MAX = 64,
    THREADS_MAX = 64, /* the maximum of the option */
    LATENCY_BOUNDS = 12,
    MILLI = 1000, /* a millisecond in millionths */
    MICRO = 1000000,
    PERCENT = 100,
    NEAR_PERCENT = 80,        /* of a spending limit */
    DECIMAL_MAX = 1000000000, /* larger numbers in Redis are ignored */
};

#define OTHER "other" /* the label for all values that are not listed */

/* -- label values */

/* HTTP statuses, in the order of `code_numbers`; the last one is for all others. */
static const char *const codes[] = {"200", "201", "202", "204", "206", "301", "302", "303", "304", "307",
                                    "308", "400", "401", "402", "403", "404", "405", "406", "408", "409",
                                    "410", "411", "413", "414", "415", "416", "417", "422", "429", "431",
                                    "500", "501", "502", "503", "504", "505", OTHER};
static const int code_numbers[ARRAY_LENGTH(codes)] = {200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401,
                                                      402, 403, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 416,
                                                      417, 422, 429, 431, 500, 501, 502, 503, 504, 505, 0};

static const char *const sse_kinds[SSE_KIND_COUNT] = {"start", "process", "done", "error", "hint", "reset"};
static const char *const openai_endpoints[OPENAI_ENDPOINT_COUNT] = {"generations", "edits"};
static const char *const openai_outcomes[OPENAI_OUTCOME_COUNT] = {"done",    "partial", "failed", "invalid",
                                                                  "refused", "cut",     "gone"};
static const char *const depths[QUEUE_NUMBER_COUNT] = {"queued", "delayed", "running", "dead"};

/* Counters in the hash `meta` that become METRIC_TASKS. */
static const char *const statuses[] = {"submitted",   "same",    "conflict", "full",      "client_full",
                                       "images_full", "done",    "failed",   "cancelled", "erased",
                                       "retried",     "renewed", "reaped",   "ghost",     "orphan"};

/* Model names are not labels: clients choose them, so their number is not bounded. */
static const char *const breaker_scopes[] = {"account", "model"};
static const char *const breaker_codes[] = {"ark_unreachable",    "outcome_unknown",       "ark_unauthorized",
                                            "ark_quota_exceeded", "ark_model_unavailable", OTHER};

/* In the order of the reply of LEDGER. */
static const char *const spending_windows[] = {"day", "month"};
static const char *const spending_kinds[] = {"spent", "reserved", "limit"};

static const int64_t latency_bounds[LATENCY_BOUNDS] = {
    50, 100, 250, 500, 1 * MILLI, 2500, 5 * MILLI, 10 * MILLI, 25 * MILLI, 50 * MILLI, 100 * MILLI, 1000 * MILLI};

/* clang-format off */
static const struct metric rows[METRIC_GATEWAY_COUNT] = {
    SHARED_METRIC_ROWS,
    [METRIC_HTTP_REQUESTS] = {.name = "arkrelay_http_requests", .type = METRIC_COUNTER, .sparse = true,
        .labels = {{"route", NULL, 0}, {"code", codes, ARRAY_LENGTH(codes)}},
        .help = "Answers, by the route's pattern (other: no route) and the HTTP status."},
    [METRIC_HTTP_CONNECTIONS] = {.name = "arkrelay_http_connections", .type = METRIC_GAUGE,
        .help = "Open connections of clients."},
    [METRIC_SSE_STREAMS] = {.name = "arkrelay_sse_streams", .type = METRIC_GAUGE,
        .help = "Open event streams that wait for events."},
    [METRIC_SSE_EVENTS] = {.name = "arkrelay_sse_events", .type = METRIC_COUNTER, .labels = {{"event", sse_kinds, SSE_KIND_COUNT}},
        .help = "Events written to streams, live or from the log; hint and reset are no part of a task's log."},
    [METRIC_SSE_LATENCY] = {.name = "arkrelay_sse_event_latency_seconds", .type = METRIC_HISTOGRAM,
        .bounds = latency_bounds, .bound_count = LATENCY_BOUNDS,
        .help = "From taking an announced event from Redis's connection to offering its frame to the kernel for every stream "
                "that watches, once per stream; events that are read from the log are not in it."},
    [METRIC_OPENAI_REQUESTS] = {.name = "arkrelay_openai_requests", .type = METRIC_COUNTER,
        .labels = {{"endpoint", openai_endpoints, OPENAI_ENDPOINT_COUNT}, {"outcome", openai_outcomes, OPENAI_OUTCOME_COUNT}},
        .help = "Requests for images below /v1 that were admitted, by what became of them."},
    [METRIC_OPENAI_REPEATS] = {.name = "arkrelay_openai_repeats", .type = METRIC_COUNTER,
        .help = "Requests below /v1 that were recognised as the repetition of an earlier one."},
    [METRIC_QUEUE_DEPTH] = {.name = "arkrelay_queue_depth", .type = METRIC_GAUGE, .sparse = true,
        .labels = {{"state", depths, ARRAY_LENGTH(depths)}},
        .help = "Tasks by state, in Redis and so the same at every gateway; dead: failed and not expired."},
    [METRIC_QUEUE_OLDEST] = {.name = "arkrelay_queue_oldest_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "Age of the oldest task that has not ended; 0 where there is none."},
    [METRIC_MEMORY_FULL] = {.name = "arkrelay_redis_memory_full_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "Until Redis reaches maxmemory at the present rate of tasks; absent where it does not."},
    [METRIC_QUEUE_PAUSED] = {.name = "arkrelay_queue_paused", .type = METRIC_GAUGE, .sparse = true,
        .help = "1 while operators have paused the queue, else 0."},
    [METRIC_TASKS] = {.name = "arkrelay_tasks", .type = METRIC_COUNTER, .sparse = true,
        .labels = {{"status", statuses, ARRAY_LENGTH(statuses)}},
        .help = "What became of tasks and of requests for them, counted in Redis and so the same at every gateway."},
    [METRIC_PAID_CALLS] = {.name = "arkrelay_paid_calls", .type = METRIC_COUNTER, .sparse = true,
        .help = "ARK calls that were or may have been charged, counted in Redis when they are closed."},
    [METRIC_WEBHOOKS_WAITING] = {.name = "arkrelay_webhooks_waiting", .type = METRIC_GAUGE, .sparse = true,
        .help = "Deliveries of webhooks that wait, those between two attempts included, in Redis and so the same at every gateway; absent without WEBHOOK_SECRET."},
    [METRIC_WEBHOOKS_FAILED] = {.name = "arkrelay_webhooks_failed", .type = METRIC_GAUGE, .sparse = true,
        .help = "Deliveries that were given up within 7 days and were not sent again."},
    [METRIC_WEBHOOK_LANES_FAILING] = {.name = "arkrelay_webhook_lanes_failing", .type = METRIC_GAUGE, .sparse = true,
        .help = "Receivers (client and host) whose last attempt failed so that others wait."},
    [METRIC_WEBHOOK_FAILING_SECONDS] = {.name = "arkrelay_webhook_failing_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "For how long a receiver has failed, the longest of all; 0 if none fails."},
    [METRIC_GOVERNOR_TOKENS] = {.name = "arkrelay_governor_tokens", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "Images that may still begin within this minute, as of the last report of a worker; absent without a limit."},
    [METRIC_GOVERNOR_PAUSED] = {.name = "arkrelay_governor_paused_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "How long the longest pause lasts from now that ARK has asked for (Retry-After), of all models; 0 without one."},
    [METRIC_GOVERNOR_LIMIT] = {.name = "arkrelay_governor_limit", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "Calls in flight that the account takes for the default model, as learned from refusals; absent if none is learned."},
    [METRIC_GOVERNOR_RATE] = {.name = "arkrelay_governor_rate", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .help = "Images per minute that the account takes for the default model, as learned from refusals; absent if none is learned."},
    [METRIC_GOVERNOR_LIMITED] = {.name = "arkrelay_governor_limited_models", .type = METRIC_GAUGE, .sparse = true,
        .help = "Models with a learned limit, at most 32."},
    [METRIC_GOVERNOR_CALLS] = {.name = "arkrelay_governor_calls", .type = METRIC_GAUGE, .sparse = true,
        .help = "Calls in flight, of all workers, as of the last report of one."},
    [METRIC_BREAKER_OPEN] = {.name = "arkrelay_breaker_open", .type = METRIC_GAUGE, .sparse = true,
        .labels = {{"scope", breaker_scopes, ARRAY_LENGTH(breaker_scopes)}, {"code", breaker_codes, ARRAY_LENGTH(breaker_codes)}},
        .help = "Circuit breakers that are not closed, by the reason: 0 or 1 of the account, at most 32 of models."},
    [METRIC_BREAKER_SECONDS] = {.name = "arkrelay_breaker_open_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .labels = {{"scope", breaker_scopes, ARRAY_LENGTH(breaker_scopes)}},
        .help = "For how long a circuit breaker has not been closed, the longest of its scope; 0 if all are closed."},
    [METRIC_SPENDING] = {.name = "arkrelay_spending", .type = METRIC_GAUGE, .micro = true, .sparse = true,
        .labels = {{"window", spending_windows, ARRAY_LENGTH(spending_windows)}, {"kind", spending_kinds, ARRAY_LENGTH(spending_kinds)}},
        .help = "Of all clients together in this UTC day or month, in the catalogue's currency; absent if nothing is counted, and limit without one."},
    [METRIC_SPENDING_NEAR] = {.name = "arkrelay_spending_near_limit", .type = METRIC_COUNTER, .labels = {{"cap", spending_cap_names, CAP_COUNT}},
        .help = "Accepted tasks with which more than 80 % of a spending limit is spent or reserved."},
    [METRIC_SPENDING_REFUSED] = {.name = "arkrelay_spending_refused", .type = METRIC_COUNTER, .labels = {{"cap", spending_cap_names, CAP_COUNT}},
        .help = "Requests for new tasks for which a spending limit had no room."},
};
/* clang-format on */

struct gateway_metrics {
    struct metric rows[METRIC_GATEWAY_COUNT];
    struct metric_table table;
    const char *routes[ROUTES_MAX + 1]; /* the patterns, each once, and OTHER */
    size_t route_count;
    const struct http_route *route_rows;
    unsigned route_of[ROUTES_MAX]; /* index in route_rows -> index in `routes` */
    struct metrics **threads;
    size_t count;
};

/* -- create and destroy */

static unsigned place_of_route(struct gateway_metrics *gateway_metrics, const char *path)
{
    unsigned i = 0;

    while (i < gateway_metrics->route_count && strcmp(gateway_metrics->routes[i], path) != 0)
        i++;
    if (i == gateway_metrics->route_count)
        gateway_metrics->routes[gateway_metrics->route_count++] = path;
    return i;
}

static void set_table(struct gateway_metrics *gateway_metrics, const struct http_route *rows_of_routes, size_t count)
{
    struct metric_label *route = &gateway_metrics->rows[METRIC_HTTP_REQUESTS].labels[0];

    gateway_metrics->route_rows = rows_of_routes;
    for (size_t i = 0; i < count && i < ROUTES_MAX; i++)
        gateway_metrics->route_of[i] = place_of_route(gateway_metrics, rows_of_routes[i].path);
    (void)place_of_route(gateway_metrics, OTHER);
    memcpy(gateway_metrics->rows, rows, sizeof(rows));
    route->values = gateway_metrics->routes;
    route->count = gateway_metrics->route_count;
    gateway_metrics->table = (struct metric_table){gateway_metrics->rows, METRIC_GATEWAY_COUNT};
}

struct gateway_metrics *gateway_metrics_create(size_t threads, const struct http_route *routes, size_t route_count)
{
    struct gateway_metrics *gateway_metrics = calloc(1, sizeof(*gateway_metrics));

    if (!gateway_metrics)
        return NULL;
    set_table(gateway_metrics, routes, route_count);
    gateway_metrics->threads = calloc(threads, sizeof(struct metrics *));
    if (!gateway_metrics->threads)
        return gateway_metrics_destroy(gateway_metrics);
    for (; gateway_metrics->count < threads; gateway_metrics->count++) {
        struct metrics *metrics = metrics_create(&gateway_metrics->table);

        if (!metrics)
            return gateway_metrics_destroy(gateway_metrics);
        gateway_metrics->threads[gateway_metrics->count] = metrics;
    }
    return gateway_metrics;
}

struct gateway_metrics *gateway_metrics_destroy(struct gateway_metrics *gateway_metrics)
{
    if (!gateway_metrics)
        return NULL;
    for (size_t i = 0; i < gateway_metrics->count; i++)
        metrics_destroy(gateway_metrics->threads[i]); /* NOLINT(clang-analyzer-core.NullDereference): count is 0 then */
    free(gateway_metrics->threads);
    free(gateway_metrics);
    return NULL;
}

struct metrics *gateway_metrics_of_thread(struct gateway_metrics *gateway_metrics, size_t thread)
{
    return gateway_metrics->threads[thread];
}

/* -- counting */

static unsigned place_of_code(int status)
{
    unsigned i = 0;

    while (code_numbers[i] && code_numbers[i] != status)
        i++;
    return i;
}

void gateway_metrics_count_response(const struct gateway_metrics *gateway_metrics, struct metrics *metrics,
                                    const struct http_route *route, int status)
{
    size_t row = route ? (size_t)(route - gateway_metrics->route_rows) : ROUTES_MAX;
    unsigned other = (unsigned)gateway_metrics->route_count - 1;

    metrics_add(
        metrics,
        SAMPLE(METRIC_HTTP_REQUESTS, row < ROUTES_MAX ? gateway_metrics->route_of[row] : other, place_of_code(status)),
        1);
}

static bool is_near(const struct spending *spending, enum spending_cap cap)
{
    return spending->limit[cap] &&
           spending->spent[cap] + spending->reserved[cap] > spending->limit[cap] / PERCENT * NEAR_PERCENT;
}

void gateway_metrics_count_spending(struct metrics *metrics, const struct spending *spending)
{
    if (spending->refused < CAP_COUNT) {
        metrics_add(metrics, SAMPLE(METRIC_SPENDING_REFUSED, spending->refused), 1);
        return;
    }
    for (enum spending_cap cap = 0; cap < CAP_COUNT; cap++)
        metrics_add(metrics, SAMPLE(METRIC_SPENDING_NEAR, cap), is_near(spending, cap));
}

int64_t gateway_metrics_sum(const struct gateway_metrics *gateway_metrics, struct sample sample)
{
    return metrics_sum((const struct metrics *const *)gateway_metrics->threads, gateway_metrics->count, sample);
}

const char *gateway_metrics_openai_outcome(enum openai_outcome outcome)
{
    return openai_outcomes[outcome];
}

/* -- one scrape */

struct metrics *gateway_metrics_begin_scrape(const struct gateway_metrics *gateway_metrics)
{
    struct metrics *scraped = metrics_create(&gateway_metrics->table);

    if (!scraped)
        return NULL;
    shared_metrics_fill(scraped);
    metrics_set(scraped, SAMPLE(METRIC_REDIS_UP), 0);
    return scraped;
}

static void set_counter(struct metrics *scraped, const char *name, int64_t value)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(statuses); i++)
        if (strcmp(statuses[i], name) == 0)
            metrics_set(scraped, SAMPLE(METRIC_TASKS, i), value);
    if (strcmp(name, "paid_calls") == 0)
        metrics_set(scraped, SAMPLE(METRIC_PAID_CALLS), value);
}

int64_t gateway_metrics_set_queue(struct metrics *scraped, const redisReply *reply)
{
    int64_t now_ms, oldest_ms, value;
    const char *name;

    if (script_int(reply, QUEUE_NOW, &now_ms))
        return 0;
    metrics_set(scraped, SAMPLE(METRIC_REDIS_UP), 1);
    if (!script_int(reply, QUEUE_PAUSED, &value))
        metrics_set(scraped, SAMPLE(METRIC_QUEUE_PAUSED), value);
    for (unsigned i = 0; i < ARRAY_LENGTH(depths); i++)
        if (!script_int(reply, QUEUE_NUMBERS + i, &value))
            metrics_set(scraped, SAMPLE(METRIC_QUEUE_DEPTH, i), value);
    if (!script_int(reply, QUEUE_OLDEST, &oldest_ms))
        metrics_set(scraped, SAMPLE(METRIC_QUEUE_OLDEST),
                    oldest_ms && oldest_ms < now_ms ? (now_ms - oldest_ms) * MILLI : 0);
    if (!script_int(reply, QUEUE_MEMORY_FULL, &value) && value >= 0)
        metrics_set(scraped, SAMPLE(METRIC_MEMORY_FULL), value * MILLI);
    for (size_t i = QUEUE_COUNTERS; (name = script_text(reply, i, NULL)); i += 2)
        if (!script_int(reply, i + 1, &value))
            set_counter(scraped, name, value);
    return now_ms;
}

/* Elements of the reply of WEBHOOKS. */
enum { WEBHOOKS_NOW, WEBHOOKS_WAITING, WEBHOOKS_FAILING, WEBHOOKS_SINCE, WEBHOOKS_FAILED };

void gateway_metrics_set_webhooks(struct metrics *scraped, const redisReply *reply)
{
    int64_t now_ms, waiting, failing, since_ms, failed;

    if (script_int(reply, WEBHOOKS_NOW, &now_ms) || script_int(reply, WEBHOOKS_WAITING, &waiting) ||
        script_int(reply, WEBHOOKS_FAILING, &failing) || script_int(reply, WEBHOOKS_SINCE, &since_ms) ||
        script_int(reply, WEBHOOKS_FAILED, &failed))
        return;
    metrics_set(scraped, SAMPLE(METRIC_WEBHOOKS_WAITING), waiting);
    metrics_set(scraped, SAMPLE(METRIC_WEBHOOKS_FAILED), failed);
    metrics_set(scraped, SAMPLE(METRIC_WEBHOOK_LANES_FAILING), failing);
    metrics_set(scraped, SAMPLE(METRIC_WEBHOOK_FAILING_SECONDS),
                since_ms && since_ms < now_ms ? (now_ms - since_ms) * MILLI : 0);
}

static void set_decimal(struct metrics *scraped, unsigned row, double value)
{
    if (fabs(value) < DECIMAL_MAX) /* NAN: absent */
        metrics_set(scraped, SAMPLE(row), (int64_t)(value * (double)MICRO));
}

static unsigned place_of_breaker_code(const char *code)
{
    unsigned i = 0;

    while (i < ARRAY_LENGTH(breaker_codes) - 1 && strcmp(breaker_codes[i], code) != 0)
        i++;
    return i;
}

static void raise_to(struct metrics *scraped, struct sample sample, int64_t value)
{
    const struct metrics *one = scraped;

    if (value > metrics_sum(&one, 1, sample))
        metrics_set(scraped, sample, value);
}

static void set_breaker(struct metrics *scraped, const struct account_scope *scope, int64_t now_ms)
{
    unsigned kind = *scope->model ? 1 : 0; /* in breaker_scopes */
    unsigned code = place_of_breaker_code(account_scope_code(scope));
    int64_t open_ms = scope->since_ms && scope->since_ms < now_ms ? now_ms - scope->since_ms : 0;

    if (scope->state == BREAKER_CLOSED)
        return;
    metrics_add(scraped, SAMPLE(METRIC_BREAKER_OPEN, kind, code), 1);
    raise_to(scraped, SAMPLE(METRIC_BREAKER_SECONDS, kind), open_ms * MILLI);
}

static void set_model(struct metrics *scraped, const struct account *account, const struct account_scope *scope,
                      int64_t now_ms)
{
    if (!isnan(scope->limit))
        metrics_add(scraped, SAMPLE(METRIC_GOVERNOR_LIMITED), 1);
    if (strcmp(scope->model, account->default_model) == 0)
        set_decimal(scraped, METRIC_GOVERNOR_RATE, scope->rate);
    raise_to(scraped, SAMPLE(METRIC_GOVERNOR_PAUSED), (scope->paused_until_ms - now_ms) * MILLI);
}

static void clear_account(struct metrics *scraped)
{
    metrics_set(scraped, SAMPLE(METRIC_GOVERNOR_PAUSED), 0);
    metrics_set(scraped, SAMPLE(METRIC_GOVERNOR_LIMITED), 0);
    for (unsigned kind = 0; kind < ARRAY_LENGTH(breaker_scopes); kind++) {
        metrics_set(scraped, SAMPLE(METRIC_BREAKER_SECONDS, kind), 0);
        for (unsigned code = 0; code < ARRAY_LENGTH(breaker_codes); code++)
            metrics_set(scraped, SAMPLE(METRIC_BREAKER_OPEN, kind, code), 0);
    }
}

void gateway_metrics_set_account(struct metrics *scraped, const struct account *account, int64_t now_ms)
{
    clear_account(scraped);
    set_decimal(scraped, METRIC_GOVERNOR_TOKENS, account->tokens);
    set_decimal(scraped, METRIC_GOVERNOR_LIMIT, account->limit);
    metrics_set(scraped, SAMPLE(METRIC_GOVERNOR_CALLS),
                fabs(account->calls) < DECIMAL_MAX ? (int64_t)account->calls : 0);
    for (size_t i = 0; i < account->count; i++) {
        set_breaker(scraped, &account->scopes[i], now_ms);
        if (i)
            set_model(scraped, account, &account->scopes[i], now_ms);
    }
}

void gateway_metrics_set_spending(struct metrics *scraped, const redisReply *reply, int64_t day_limit,
                                  int64_t month_limit)
{
    enum { AT_CURRENCY = 2, AT_AMOUNTS = 3, AMOUNTS = 2, SPENDING_LIMIT = 2 };
    const int64_t limits[] = {day_limit, month_limit};
    size_t len = 0;

    if (!script_text(reply, AT_CURRENCY, &len) || !len)
        return;
    for (unsigned window = 0; window < ARRAY_LENGTH(limits); window++) {
        for (unsigned kind = 0; kind < AMOUNTS; kind++) {
            int64_t amount;

            if (!script_int(reply, AT_AMOUNTS + AMOUNTS * window + kind, &amount))
                metrics_set(scraped, SAMPLE(METRIC_SPENDING, window, kind), amount);
        }
        if (limits[window])
            metrics_set(scraped, SAMPLE(METRIC_SPENDING, window, SPENDING_LIMIT), limits[window]);
    }
}

void gateway_metrics_write(struct buf *out, const struct gateway_metrics *gateway_metrics,
                           const struct metrics *scraped)
{
    const struct metrics *all[THREADS_MAX + 1];
    size_t count = gateway_metrics->count;

    assert(count <= THREADS_MAX);
    memcpy(all, gateway_metrics->threads, count * sizeof(all[0])); /* NOLINT(bugprone-sizeof-expression): pointers */
    all[count++] = scraped;
    metrics_write(out, all, count);
}
