#include "worker/health.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/server.h"
#include "common/log.h"
#include "worker/runner.h"

struct health {
    struct http_server *server;
    const struct runner *runner;
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

    if (runner_is_ready(health->runner))
        respond_ok(exchange);
    else
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_STORE_UNAVAILABLE,
                                                                .detail = "Redis is away, or this worker drains."});
}

static const struct http_route routes[] = {
    {HTTP_GET, "/livez",  get_livez },
    {HTTP_GET, "/readyz", get_readyz},
};

struct health *health_create(struct loop *loop, const char *listen, const struct runner *runner, const char **why)
{
    struct health *health = calloc(1, sizeof(*health));
    struct http_server_config config;

    *why = "out of memory";
    if (!health)
        return NULL;
    http_server_config_init(&config);
    config.listen = listen;
    config.routes = routes;
    config.route_count = sizeof(routes) / sizeof(routes[0]);
    config.connections_max = 100;
    config.arg = health;
    health->runner = runner;
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
