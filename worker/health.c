#include "worker/health.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/http/server.h"
#include "worker/metrics/metrics.h"
#include "worker/options.h"
#include "worker/worker.h"

enum { METRICS_MAX = 256 * 1024, CONNECTIONS_MAX = 100 };

static const char FREE_ADDRESS[] = "127.0.0.1:0";

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
        http_respond_problem(exchange,
                             &(struct problem_details){.problem = PROBLEM_STORE_UNAVAILABLE,
                                                       .detail = "Redis is unreachable, or this worker is draining."});
}

static void respond_metrics(struct http_exchange *exchange, const struct metrics *const *all, size_t count)
{
    struct buf body;

    buf_init(&body, METRICS_MAX);
    metrics_write(&body, all, count);
    if (buf_error(&body))
        http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_INTERNAL});
    else
        http_respond(exchange, 200, METRICS_CONTENT_TYPE, body.data, body.len);
    buf_deinit(&body);
}

static void get_metrics(struct http_exchange *exchange, void *arg)
{
    const struct health *health = arg;
    const struct health_config *config = &health->config;
    struct metrics *gauges = config->metrics ? metrics_create(&worker_metric_table) : NULL;

    if (!gauges) {
        http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_INTERNAL});
        return;
    }
    shared_metrics_fill(gauges);
    worker_fill_metrics(config->worker, gauges);
    respond_metrics(exchange, (const struct metrics *const[]){config->metrics, gauges}, 2);
    metrics_destroy(gauges);
}

static const struct http_route routes[] = {
    {HTTP_GET, "/livez",   get_livez  },
    {HTTP_GET, "/readyz",  get_readyz },
    {HTTP_GET, "/metrics", get_metrics},
};

/* NULL: the address cannot be used, and *why says why. */
static struct http_server *listen_on(struct loop *loop, const char *address, struct health *health, const char **why)
{
    struct http_server_config config;

    http_server_config_init(&config);
    config.listen = address;
    config.routes = routes;
    config.route_count = ARRAY_LENGTH(routes);
    config.connections_max = CONNECTIONS_MAX;
    config.arg = health;
    return http_server_create(loop, &config, why);
}

static struct http_server *listen_anywhere(struct loop *loop, struct health *health, const char **why)
{
    struct http_server *server = listen_on(loop, LISTEN_DEFAULT, health, why);

    if (server)
        return server;
    log_warn("health", "default address not available, using a free port", "address=%s error=\"%s\"", LISTEN_DEFAULT,
             *why);
    return listen_on(loop, FREE_ADDRESS, health, why);
}

struct health *health_create(struct loop *loop, const struct health_config *config, const char **why)
{
    struct health *health = calloc(1, sizeof(*health));

    *why = "out of memory";
    if (!health)
        return NULL;
    health->config = *config;
    health->server = strcmp(config->listen, LISTEN_AUTO) == 0 ? listen_anywhere(loop, health, why)
                                                              : listen_on(loop, config->listen, health, why);
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

const char *health_address(const char *listen)
{
    return strcmp(listen, LISTEN_AUTO) == 0 ? LISTEN_DEFAULT : listen;
}
