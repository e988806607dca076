#include "worker/health.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/http/server.h"
#include "common/log.h"
#include "worker/metrics/metrics.h"
#include "worker/worker.h"

enum { METRICS_MAX = 256 * 1024 };

struct health {
    struct http_server *server;
    struct health_config config;
};

static void respond_ok(struct http_exchange *exchange)
{
    static const char body[] = "{\"status\":\"ok\"}";

    http_respond(exchange, 200, "application/json", body, sizeof(body) - 1);
}

static void get_livez(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    respond_ok(exchange);
}

static void get_readyz(struct http_exchange *exchange, void *arg)
{
    const struct health *health = arg;

    if (worker_is_ready(health->config.worker))
        respond_ok(exchange);
    else
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_STORE_UNAVAILABLE,
                                                                .detail = "Redis is away, or this worker drains."});
}

static void respond_metrics(struct http_exchange *exchange, const struct metrics *const *all, size_t count)
{
    struct buf body;

    buf_init(&body, METRICS_MAX);
    metrics_write(&body, all, count);
    if (buf_error(&body))
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_INTERNAL});
    else
        http_respond(exchange, 200, METRICS_CONTENT_TYPE, body.data, body.len);
    buf_deinit(&body);
}

static void get_metrics(struct http_exchange *exchange, void *arg)
{
    const struct health *health = arg;
    const struct health_config *config = &health->config;
    struct metrics *asked = config->metrics ? metrics_create(&worker_metric_table) : NULL;

    if (!asked) {
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_INTERNAL});
        return;
    }
    shared_metrics_fill(asked);
    metrics_set(asked, SAMPLE(METRIC_REDIS_UP), worker_has_redis(config->worker));
    metrics_set(asked, SAMPLE(METRIC_WORKER_BUSY), worker_jobs(config->worker));
    respond_metrics(exchange, (const struct metrics *const[]){config->metrics, asked}, 2);
    metrics_destroy(asked);
}

static const struct http_route routes[] = {
    {HTTP_GET, "/livez",   get_livez  },
    {HTTP_GET, "/readyz",  get_readyz },
    {HTTP_GET, "/metrics", get_metrics},
};

struct health *health_create(struct loop *loop, const struct health_config *setup, const char **why)
{
    struct health *health = calloc(1, sizeof(*health));
    struct http_server_config config;

    *why = "out of memory";
    if (!health)
        return NULL;
    http_server_config_init(&config);
    config.listen = setup->listen;
    config.routes = routes;
    config.route_count = sizeof(routes) / sizeof(routes[0]);
    config.connections_max = 100;
    config.arg = health;
    health->config = *setup;
    health->server = http_server_create(loop, &config, why);
    if (!health->server)
        return health_destroy(health);
    log_info("health", "listening", "address=%s", http_server_address(health->server));
    return health;
}

struct health *health_destroy(struct health *health)
{
    if (!health)
        return NULL;
    http_server_destroy(health->server);
    free(health);
    return NULL;
}
