#include "gateway/gateway.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/audit.h"
#include "common/clock.h"
#include "common/http/server.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/presence.h"
#include "common/redis/client.h"
#include "common/shared_metrics.h"
#include "common/task/schema.h"
#include "gateway/api/admin.h"
#include "gateway/api/routes.h"
#include "gateway/cors.h"
#include "gateway/gateway_metrics.h"
#include "gateway/gateway_options.h"
#include "gateway/keys/admission.h"
#include "gateway/keys/keyring.h"
#include "gateway/keys/keyset.h"
#include "gateway/streams/disconnect.h"
#include "gateway/streams/hub.h"
#include "gateway/streams/stream.h"
#include "gateway/submit.h"

enum {
    DRAIN_MS = 5000,
    DRAIN_LOOK_MS = 20,
    COMMAND_MS = 900, /* a client hears within a second that Redis is away, however patient REDIS_TIMEOUT is */
    RECONNECT_BASE_MS = 50,
    RECONNECT_MAX_MS = 2000,
    REDIS_CONNECTIONS = 2, /* of each thread: commands and events */
    COMMANDS_OUTPUT_MAX = 64 * 1024 * 1024,
    SUBSCRIBE_BYTES = KEYS_CHANNEL_SIZE + 64, /* of one subscription on the wire, and more */
};

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

/* -- Redis */

static void on_commands_ready(void *arg)
{
    struct gateway *gateway = arg;

    if (gateway->hub)
        hub_on_commands_ready(gateway->hub);
    if (gateway->presence)
        presence_write(gateway->presence);
}

static void on_unfit(const char *why, void *arg)
{
    const struct gateway *gateway = arg;

    if (gateway->config.on_unfit)
        gateway->config.on_unfit(why, gateway->config.arg);
}

static struct redis_config redis_config_of(const struct gateway *gateway)
{
    const struct gateway_config *config = &gateway->config;
    int64_t timeout_ms = config->options->shared.redis_timeout_ms;

    return (struct redis_config){
        .address = config->redis,
        .connect_timeout_ms = timeout_ms,
        .command_timeout_ms = at_most(timeout_ms, COMMAND_MS),
        .reconnect = {RECONNECT_BASE_MS, RECONNECT_MAX_MS},
        .observer = shared_metrics_redis_observer(gateway->metrics),
        .ready = config->redis_ready,
    };
}

bool gateway_is_connected(const struct gateway *gateway)
{
    return atomic_load(gateway->config.redis_ready) == REDIS_CONNECTIONS * (size_t)gateway->config.options->threads;
}

static struct redis *create_commands(struct gateway *gateway)
{
    struct redis_config config = redis_config_of(gateway);

    config.name = "arkrelay-gateway:commands";
    config.output_max = COMMANDS_OUTPUT_MAX;
    config.events.on_ready = on_commands_ready;
    config.requirements = &schema_requirements;
    config.events.on_misconfigured = on_unfit;
    config.arg = gateway;
    return redis_create(gateway->loop, &config);
}

/* After a reconnect it subscribes to all that is watched, at once. */
static struct hub *create_hub(struct gateway *gateway)
{
    struct redis_config config = redis_config_of(gateway);

    config.name = "arkrelay-gateway:events";
    config.output_max = (size_t)gateway->config.options->connections_max * SUBSCRIBE_BYTES + 64 * 1024;
    return hub_create(gateway->loop, &(struct hub_config){.subscriber = &config,
                                                          .commands = gateway->commands,
                                                          .latency = &gateway->latency,
                                                          .tail_check_ms = gateway->config.options->tail_check_ms,
                                                          .hints_ms = gateway->config.options->hints_ms});
}

/* -- HTTP */

static void on_request(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;

    cors_apply(gateway->config.cors, exchange);
    admin_guard(gateway, exchange);
    admission_guard(gateway, exchange);
}

static void on_refusal(struct http_exchange *exchange, struct http_text head, void *arg)
{
    const struct gateway *gateway = arg;

    cors_apply_to_refusal(gateway->config.cors, exchange, head);
}

static void set_bounds(struct http_server_config *config, const struct gateway_options *options)
{
    config->limits.head_max = (size_t)options->head_max;
    config->limits.headers_max = (size_t)options->headers_max;
    config->limits.body_max = options->body_max;
    config->connections_max = (size_t)options->connections_max;
    config->output_max = (size_t)options->output_max;
    config->head_timeout_ms = options->head_timeout_ms;
    config->body_timeout_ms = options->body_timeout_ms;
    config->idle_timeout_ms = options->idle_timeout_ms;
    config->write_timeout_ms = options->write_timeout_ms;
}

static void on_answer(const struct http_route *route, int status, void *arg)
{
    const struct gateway *gateway = arg;

    gateway_metrics_answered(gateway->config.metrics, gateway->metrics, route, status);
}

static void on_connections(size_t count, void *arg)
{
    const struct gateway *gateway = arg;

    metrics_set(gateway->metrics, SAMPLE(METRIC_HTTP_CONNECTIONS), (int64_t)count);
}

static struct http_server *create_server(struct gateway *gateway, const char **why)
{
    const struct gateway_options *options = gateway->config.options;
    struct http_server_config config;

    http_server_config_init(&config);
    config.listen = gateway->config.listen;
    config.share_port = options->threads > 1 || options->share_port;
    config.routes = api_routes;
    config.route_count = api_route_count;
    config.arg = gateway;
    config.on_request = on_request;
    config.on_refusal = on_refusal;
    config.on_room = stream_on_room;
    if (gateway->metrics) {
        config.on_answer = on_answer;
        config.on_connections = on_connections;
    }
    config.half_close_probe = ": keep-alive\n\n"; /* all streams are SSE */
    config.tls = gateway->config.tls;
    config.address_limit = gateway->config.address_limit;
    set_bounds(&config, options);
    return http_server_create(gateway->loop, &config, why);
}

/* -- the process, as Redis hears of it */

static void describe(struct presence_entry *entry, void *arg)
{
    const struct gateway *gateway = arg;
    const struct gateway_metrics *metrics = gateway->config.metrics;

    presence_add_field(entry, "draining", "%d", gateway->draining);
    presence_add_field(entry, "threads", "%zu", gateway_metrics_threads(metrics));
    presence_add_field(entry, "streams", "%lld", (long long)gateway_metrics_sum(metrics, SAMPLE(METRIC_SSE_STREAMS)));
    presence_add_field(entry, "connections", "%lld",
                       (long long)gateway_metrics_sum(metrics, SAMPLE(METRIC_HTTP_CONNECTIONS)));
}

static bool create_presence(struct gateway *gateway)
{
    const struct gateway_config *config = &gateway->config;

    if (!config->name || !config->metrics)
        return true;
    gateway->presence = presence_create(&(struct presence_config){.loop = gateway->loop,
                                                                  .redis = gateway->commands,
                                                                  .name = config->name,
                                                                  .role = "gateway",
                                                                  .interval_ms = config->options->shared.presence_ms,
                                                                  .describe = describe,
                                                                  .arg = gateway});
    return gateway->presence;
}

static bool create_audit(struct gateway *gateway)
{
    const struct gateway_config *config = &gateway->config;

    if (!config->name)
        return true;
    keys_prefix(gateway->prefix, 0);
    gateway->audit = audit_create(&(struct audit_config){.loop = gateway->loop,
                                                         .redis = gateway->commands,
                                                         .prefix = gateway->prefix,
                                                         .process = config->name,
                                                         .interval_ms = config->options->shared.audit_ms});
    return gateway->audit;
}

static void stop(void *arg)
{
    const struct gateway *gateway = arg;

    loop_stop(gateway->loop);
}

/* -- the whole */

static int create_parts(struct gateway *gateway, const char **why)
{
    const struct gateway_options *options = gateway->config.options;
    const struct submit_limits limits = {.queue_limit = options->queue_limit,
                                         .queue_ttl_ms = options->queue_ttl_ms,
                                         .retention_ms = options->retention_ms};

    *why = "out of memory or file descriptors";
    gateway->loop = loop_create();
    gateway->latency = (struct latency){.loop = gateway->loop, .metrics = gateway->metrics};
    if (!gateway->loop || !(gateway->commands = create_commands(gateway)) || !(gateway->hub = create_hub(gateway)) ||
        !(gateway->disconnects = disconnects_create(gateway->commands, gateway->hub)) ||
        !(gateway->submitter = submitter_create(gateway->commands, gateway->disconnects, &limits)))
        return ERR_NO_MEMORY;
    if (!create_presence(gateway) || !create_audit(gateway))
        return ERR_NO_MEMORY;
    gateway->streams = streams_create(gateway->loop, &(struct streams_config){.hub = gateway->hub,
                                                                              .commands = gateway->commands,
                                                                              .submitter = gateway->submitter,
                                                                              .disconnects = gateway->disconnects,
                                                                              .metrics = gateway->metrics,
                                                                              .heartbeat_ms = options->heartbeat_ms,
                                                                              .life_ms = options->stream_life_ms});
    if (!gateway->streams)
        return ERR_NO_MEMORY;
    gateway->server = create_server(gateway, why);
    return gateway->server ? 0 : ERR_SYSTEM;
}

struct gateway *gateway_create(const struct gateway_config *config, const char **why)
{
    struct gateway *gateway = calloc(1, sizeof(*gateway));

    *why = "out of memory";
    if (!gateway)
        return NULL;
    gateway->config = *config;
    gateway->keys = keyring_take(config->keyring);
    if (config->metrics)
        gateway->metrics = gateway_metrics_of(config->metrics, config->thread);
    return create_parts(gateway, why) ? gateway_destroy(gateway) : gateway;
}

struct gateway *gateway_destroy(struct gateway *gateway)
{
    if (!gateway)
        return NULL;
    if (gateway->drain_timer)
        event_free(gateway->drain_timer);
    if (gateway->streams)
        streams_drain(gateway->streams);  /* a second signal comes early: it is not the clients who leave */
    http_server_destroy(gateway->server); /* every exchange hears that it is closed, so every stream leaves */
    streams_destroy(gateway->streams);
    submitter_destroy(gateway->submitter);
    disconnects_destroy(gateway->disconnects);
    hub_destroy(gateway->hub);
    audit_destroy(gateway->audit);
    presence_destroy(gateway->presence);
    redis_destroy(gateway->commands);
    loop_destroy(gateway->loop);
    keyset_unref(gateway->keys);
    free(gateway);
    return NULL;
}

/* Connections tell nobody that they were the last one, so this looks; a drain lasts for moments. */
static void look_whether_drained(evutil_socket_t fd, short what, void *arg)
{
    struct gateway *gateway = arg;
    size_t open = http_server_connections(gateway->server);
    bool late = clock_monotonic_ms() >= gateway->drain_until_ms;

    (void)fd;
    (void)what;
    if (open && !late)
        return;
    if (open)
        log_warn("gateway", "cutting connections that do not end", "connections=%zu", open);
    event_del(gateway->drain_timer);
    if (gateway->presence)
        presence_remove(gateway->presence, stop, gateway);
    else
        loop_stop(gateway->loop);
}

void gateway_drain(struct gateway *gateway)
{
    const struct timeval interval = {.tv_usec = DRAIN_LOOK_MS * 1000};

    if (gateway->draining)
        return;
    gateway->draining = true;
    gateway->drain_until_ms = clock_monotonic_ms() + DRAIN_MS;
    http_server_drain(gateway->server);
    streams_drain(gateway->streams);
    gateway->drain_timer = event_new(loop_base(gateway->loop), -1, EV_PERSIST, look_whether_drained, gateway);
    if (!gateway->drain_timer || event_add(gateway->drain_timer, &interval))
        loop_stop(gateway->loop);
}

void gateway_reload(struct gateway *gateway)
{
    struct keyset *keys = keyring_take(gateway->config.keyring);

    keyset_unref(gateway->keys);
    gateway->keys = keys;
}
