#include "gateway/gateway.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/base/timeouts.h"
#include "common/http/server.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_file.h"
#include "common/ops/presence.h"
#include "common/ops/shared_metrics.h"
#include "common/redis/client.h"
#include "common/storage/storage.h"
#include "common/task/audit.h"
#include "common/task/keys.h"
#include "common/task/schema.h"
#include "common/task/settler.h"
#include "common/task/storage_check.h"
#include "common/webhook/signature.h"
#include "gateway/access/cors.h"
#include "gateway/access/keyring.h"
#include "gateway/api/openai/error.h"
#include "gateway/api/openai/order.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/options.h"
#include "gateway/request/validate.h"
#include "gateway/routes.h"
#include "gateway/streams/disconnects.h"
#include "gateway/streams/hub.h"
#include "gateway/streams/stream.h"
#include "gateway/tasks/submit.h"
#include "gateway/uploads/life.h"
#include "gateway/uploads/renewal.h"
#include "gateway/uploads/uploads.h"

enum {
    DRAIN_MS = 5000,
    DRAIN_CHECK_MS = 20,
    COMMAND_MS = 900, /* upper limit for REDIS_TIMEOUT: a client gets a 503 within a second if Redis does not reply */
    RECONNECT_BASE_MS = 50,
    RECONNECT_MAX_MS = 2000,
    REDIS_CONNECTIONS = 2, /* per thread: commands and events */
    COMMANDS_OUTPUT_MAX = 64 * 1024 * 1024,
    SUBSCRIBE_BYTES = KEYS_CHANNEL_SIZE + 64, /* upper bound for one SUBSCRIBE on the wire */
};

static int64_t min_of(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

/* -- Redis */

static void gateway_on_commands_ready(void *arg)
{
    struct gateway *gateway = arg;

    if (gateway->hub)
        hub_on_commands_ready(gateway->hub);
    if (gateway->orders)
        orders_on_commands_ready(gateway->orders);
    if (gateway->presence)
        presence_write(gateway->presence);
    storage_check_resume(gateway->storage_check);
}

static void gateway_on_misconfigured(const char *why, void *arg)
{
    const struct gateway *gateway = arg;

    if (gateway->config.on_misconfigured)
        gateway->config.on_misconfigured(why, gateway->config.arg);
}

static struct redis_config redis_config_of(const struct gateway *gateway)
{
    const struct gateway_config *config = &gateway->config;
    int64_t timeout_ms = config->options->shared.redis_timeout_ms;

    return (struct redis_config){
        .address = config->redis,
        .connect_timeout_ms = timeout_ms,
        .command_timeout_ms = min_of(timeout_ms, COMMAND_MS),
        .reconnect = {RECONNECT_BASE_MS, RECONNECT_MAX_MS},
        .observer = shared_metrics_redis_observer(gateway->metrics),
        .ready = config->redis_ready,
    };
}

bool gateway_is_connected(const struct gateway *gateway)
{
    return atomic_load(gateway->api.redis_ready) == gateway->api.redis_connections;
}

static struct redis *create_commands(struct gateway *gateway)
{
    struct redis_config config = redis_config_of(gateway);

    config.name = "arkrelay-gateway:commands";
    config.output_max = COMMANDS_OUTPUT_MAX;
    config.events.on_ready = gateway_on_commands_ready;
    config.requirements = &schema_requirements;
    config.events.on_misconfigured = gateway_on_misconfigured;
    config.arg = gateway;
    return redis_create(gateway->loop, &config);
}

/* output_max: after a reconnect the hub subscribes to all watched tasks at once. */
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

/* The server passes &gateway->api to handlers and hooks alike. */
static struct gateway *gateway_of(void *arg)
{
    return container_of(arg, struct gateway, api);
}

static void gateway_on_request(struct http_exchange *exchange, void *arg)
{
    struct gateway *gateway = gateway_of(arg);

    cors_apply(gateway->config.cors, exchange);
    admission_check_operator(gateway->config.options->admin_key, exchange);
    admission_check(&gateway->admission, exchange);
}

static void gateway_on_refusal(struct http_exchange *exchange, struct http_text head, void *arg)
{
    cors_apply_to_refusal(gateway_of(arg)->config.cors, exchange, head);
}

static bool gateway_write_problem(struct http_exchange *exchange, struct http_text path,
                                  const struct problem_details *details, struct http_problem_answer *out, void *unused)
{
    (void)unused;
    if (!openai_is_below_base(path))
        return false;
    openai_write_problem(exchange, details, out);
    return true;
}

static void set_http_limits(struct http_server_config *config, const struct gateway_options *options)
{
    config->limits.head_max = (size_t)options->head_max;
    config->limits.headers_max = (size_t)options->headers_max;
    config->limits.body_max = options->body_max;
    config->limits.length_max = options->body_max > API_EDIT_BODY_MAX ? options->body_max : API_EDIT_BODY_MAX;
    config->connections_max = (size_t)options->connections_max;
    config->output_max = (size_t)options->output_max;
    config->head_timeout_ms = options->head_timeout_ms;
    config->body_timeout_ms = options->body_timeout_ms;
    config->idle_timeout_ms = options->idle_timeout_ms;
    config->write_timeout_ms = options->write_timeout_ms;
    config->taken_body_timeout_ms = options->upload_timeout_ms;
}

static void gateway_on_response(const struct http_route *route, int status, void *arg)
{
    const struct gateway *gateway = gateway_of(arg);

    gateway_metrics_count_response(gateway->config.metrics, gateway->metrics, route, status);
}

static void gateway_on_connections(size_t count, void *arg)
{
    metrics_set(gateway_of(arg)->metrics, SAMPLE(METRIC_HTTP_CONNECTIONS), (int64_t)count);
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
    config.body_takers = api_body_takers;
    config.arg = &gateway->api;
    config.on_request = gateway_on_request;
    config.on_refusal = gateway_on_refusal;
    config.write_problem = gateway_write_problem;
    config.on_room = stream_on_room;
    if (gateway->metrics) {
        config.on_answer = gateway_on_response;
        config.on_connections = gateway_on_connections;
    }
    config.half_close_text = ": keep-alive\n\n"; /* an SSE comment */
    config.tls = gateway->config.tls;
    config.address_limit = gateway->config.address_limit;
    set_http_limits(&config, options);
    return http_server_create(gateway->loop, &config, why);
}

/* -- presence and audit: the first thread only */

static void gateway_describe(struct presence_entry *entry, void *arg)
{
    const struct gateway *gateway = arg;
    const struct gateway_metrics *metrics = gateway->config.metrics;

    presence_add_field(entry, "draining", "%d", gateway->api.draining);
    presence_add_field(entry, "catalogue", "%s", catalogue_version(gateway->api.catalogue));
    presence_add_field(entry, "threads", "%lld", (long long)gateway->config.options->threads);
    presence_add_field(entry, "streams", "%lld", (long long)gateway_metrics_sum(metrics, SAMPLE(METRIC_SSE_STREAMS)));
    presence_add_field(entry, "connections", "%lld",
                       (long long)gateway_metrics_sum(metrics, SAMPLE(METRIC_HTTP_CONNECTIONS)));
    if (gateway->location.storage)
        presence_add_field(entry, "storage", "%s", storage_identity(gateway->location.storage));
    if (*gateway->webhook_key)
        presence_add_field(entry, "webhook_key", "%s", gateway->webhook_key);
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
                                                                  .describe = gateway_describe,
                                                                  .arg = gateway});
    return gateway->presence;
}

static bool create_audit(struct gateway *gateway)
{
    const struct gateway_config *config = &gateway->config;

    if (!config->name)
        return true;
    gateway->audit = audit_create(&(struct audit_config){.loop = gateway->loop,
                                                         .redis = gateway->commands,
                                                         .prefix = gateway->prefix,
                                                         .process = config->name,
                                                         .interval_ms = config->options->shared.audit_ms,
                                                         .settler = gateway->settler});
    return gateway->audit;
}

/* -- create and destroy */

static void gateway_on_abandoned(const char *full_id, enum on_disconnect what, void *arg)
{
    const struct gateway *gateway = arg;

    disconnects_apply(gateway->disconnects, full_id, what);
}

static void gateway_on_spending(const struct spending *spending, void *arg)
{
    const struct gateway *gateway = arg;

    gateway_metrics_count_spending(gateway->metrics, spending);
}

static struct settler *create_settler(struct gateway *gateway)
{
    keys_prefix(gateway->prefix, 0);
    return settler_create(
        &(struct settler_config){.loop = gateway->loop, .redis = gateway->commands, .prefix = gateway->prefix});
}

static void gateway_on_short_upload(const char *client, const char *sha256, const char *name, void *arg)
{
    const struct gateway *gateway = arg;

    if (gateway->uploads)
        renewal_start(gateway->uploads, client, sha256, name);
}

static struct submitter *create_submitter(struct gateway *gateway)
{
    const struct gateway_options *options = gateway->config.options;

    return submitter_create(&(struct submitter_config){
        .redis = gateway->commands,
        .queue_limit = options->queue_limit,
        .queue_ttl_ms = options->queue_ttl_ms,
        .retention_ms = options->retention_ms,
        .order_window_ms = options->openai_retry_window_ms,
        .upload_life_ms = *options->storage.place ? UPLOAD_LIFE_MS + options->queue_ttl_ms : 0,
        .on_short_upload = gateway_on_short_upload,
        .on_abandoned = gateway_on_abandoned,
        .on_spending = gateway->metrics ? gateway_on_spending : NULL,
        .arg = gateway});
}

static struct streams *create_streams(struct gateway *gateway)
{
    const struct gateway_options *options = gateway->config.options;

    return streams_create(gateway->loop, &(struct streams_config){.hub = gateway->hub,
                                                                  .commands = gateway->commands,
                                                                  .submitter = gateway->submitter,
                                                                  .disconnects = gateway->disconnects,
                                                                  .metrics = gateway->metrics,
                                                                  .heartbeat_ms = options->heartbeat_ms,
                                                                  .life_ms = options->stream_life_ms});
}

static bool create_storage(struct gateway *gateway, struct buf *why)
{
    const struct gateway_config *config = &gateway->config;
    const struct location_setup setup = {
        .options = &config->options->storage, .loop = gateway->loop, .pool = config->disk_pool};
    int err;

    if (!config->disk_pool)
        return true;
    buf_add_text(why, "STORAGE: ");
    err = location_open(&gateway->location, &setup, why);
    if (err)
        return false;
    buf_clear(why);
    gateway->storage_check =
        storage_check_create(&(struct storage_check_config){.loop = gateway->loop,
                                                            .redis = gateway->commands,
                                                            .identity = storage_identity(gateway->location.storage),
                                                            .is_quiet = config->thread > 0});
    return gateway->storage_check;
}

static struct orders *create_orders(struct gateway *gateway)
{
    const struct gateway_options *options = gateway->config.options;

    return orders_create(gateway->loop, &(struct orders_config){.hub = gateway->hub,
                                                                .commands = gateway->commands,
                                                                .submitter = gateway->submitter,
                                                                .storage = gateway->location.storage,
                                                                .metrics = gateway->metrics,
                                                                .heartbeat_ms = options->heartbeat_ms,
                                                                .hold_ms = options->openai_hold_ms,
                                                                .retry_window_ms = options->openai_retry_window_ms});
}

/* Without a storage there are none. */
static bool create_uploads(struct gateway *gateway)
{
    const struct gateway_options *options = gateway->config.options;

    if (!gateway->location.storage)
        return true;
    gateway->uploads = uploads_create(&(struct uploads_config){.commands = gateway->commands,
                                                               .storage = gateway->location.storage,
                                                               .count_max = options->client_uploads,
                                                               .bytes_max = options->client_upload_bytes,
                                                               .queue_ttl_ms = options->queue_ttl_ms,
                                                               .at_once_max = (size_t)options->uploads_max});
    return gateway->uploads;
}

static enum validate_webhooks webhooks_of(const struct shared_options *options)
{
    if (!*options->webhook_secret)
        return WEBHOOKS_OFF;
    return options->webhook_private ? WEBHOOKS_ANY_HOST : WEBHOOKS_PUBLIC;
}

/* Last, because both contexts point to the parts created before. */
static void fill_contexts(struct gateway *gateway)
{
    static const char *const api_paths[] = {API_BASE, OPENAI_BASE, NULL}, *const delete_paths[] = {"/p", NULL};
    const struct gateway_config *config = &gateway->config;
    const struct gateway_options *options = config->options;

    gateway->admission.paths = api_paths;
    gateway->admission.openai_path = OPENAI_BASE;
    gateway->admission.delete_paths = delete_paths;
    gateway->admission.commands = gateway->commands;
    gateway->admission.keyring = config->keyring;
    gateway->api = (struct api_context){
        .catalogue = catalogue_file_take(config->models),
        .commands = gateway->commands,
        .keyring = config->keyring,
        .submitter = gateway->submitter,
        .settler = gateway->settler,
        .streams = gateway->streams,
        .storage = gateway->location.storage,
        .uploads = gateway->uploads,
        .storage_check = gateway->storage_check,
        .orders = gateway->orders,
        .metrics = config->metrics,
        .redis_ready = config->redis_ready,
        .redis_connections = REDIS_CONNECTIONS * (size_t)options->threads,
        .max_paid_calls = (int)options->max_paid_calls,
        .max_paid_calls_limit = (int)options->max_paid_calls_limit,
        .spend_day = options->spend_day,
        .spend_month = options->spend_month,
        .usage = options->usage,
        .defaults = &options->request,
        .data_urls = options->data_urls,
        .task_list = gateway_options_list_tasks(options),
        .webhooks = (int)webhooks_of(&options->shared),
        .queue_ttl_ms = options->queue_ttl_ms,
        .aliases = &gateway->aliases,
        .openai_format = options->openai_format,
    };
}

static int gateway_create_parts(struct gateway *gateway, struct buf *why)
{
    const char *secret = gateway->config.options->shared.webhook_secret, *server_why = NULL;

    if (*secret && webhook_fingerprint(gateway->webhook_key, secret))
        return ERR_NO_MEMORY;
    gateway->loop = loop_create();
    gateway->latency = (struct latency){.loop = gateway->loop, .metrics = gateway->metrics};
    if (!gateway->loop || !(gateway->commands = create_commands(gateway)) || !(gateway->hub = create_hub(gateway)) ||
        !(gateway->settler = create_settler(gateway)) ||
        !(gateway->disconnects = disconnects_create(gateway->commands, gateway->hub, gateway->settler)) ||
        !(gateway->submitter = create_submitter(gateway)) || !create_presence(gateway) || !create_audit(gateway) ||
        !(gateway->streams = create_streams(gateway)))
        return ERR_NO_MEMORY;
    if (!create_storage(gateway, why))
        return ERR_SYSTEM;
    if (!(gateway->orders = create_orders(gateway)) || !create_uploads(gateway))
        return ERR_NO_MEMORY;
    fill_contexts(gateway);
    gateway->server = create_server(gateway, &server_why);
    if (!gateway->server)
        buf_add_text(why, server_why);
    return gateway->server ? 0 : ERR_SYSTEM;
}

struct gateway *gateway_create(const struct gateway_config *config, struct buf *why)
{
    struct gateway *gateway = calloc(1, sizeof(*gateway));
    const char *at;

    if (!gateway) {
        buf_add_text(why, "out of memory");
        return NULL;
    }
    gateway->config = *config;
    gateway->admission.keys = keyring_take(config->keyring);
    (void)openai_aliases_parse(config->options->openai_models, &gateway->aliases,
                               &at); /* valid: gateway_options_agree */
    if (config->metrics)
        gateway->metrics = gateway_metrics_of_thread(config->metrics, config->thread);
    if (!gateway_create_parts(gateway, why))
        return gateway;
    if (!why->len)
        buf_add_text(why, "out of memory or file descriptors");
    return gateway_destroy(gateway);
}

struct gateway *gateway_destroy(struct gateway *gateway)
{
    if (!gateway)
        return NULL;
    loop_timer_destroy(gateway->drain_timer);
    if (gateway->streams)
        streams_drain(
            gateway->streams); /* so that on_disconnect is not applied: it is not the clients who disconnect */
    http_server_destroy(gateway->server); /* calls on_closed of every exchange, which closes the stream */
    uploads_destroy(gateway->uploads);
    storage_check_destroy(gateway->storage_check);
    location_close(&gateway->location);
    streams_destroy(gateway->streams);
    orders_destroy(gateway->orders);
    submitter_destroy(gateway->submitter);
    disconnects_destroy(gateway->disconnects);
    hub_destroy(gateway->hub);
    audit_destroy(gateway->audit);
    presence_destroy(gateway->presence);
    settler_destroy(gateway->settler);
    redis_destroy(gateway->commands);
    loop_destroy(gateway->loop);
    keyset_unref(gateway->admission.keys);
    catalogue_unref(gateway->api.catalogue);
    free(gateway);
    return NULL;
}

/* -- drain and reload */

static void gateway_on_left(void *arg)
{
    const struct gateway *gateway = arg;

    loop_stop(gateway->loop);
}

/* Polls until all connections are closed. A drain takes moments, so polling is cheap and needs no callback from the server. */
static void gateway_on_drain_timer(void *arg)
{
    struct gateway *gateway = arg;
    size_t open = http_server_connections(gateway->server);
    bool late = clock_monotonic_ms() >= gateway->drain_until_ms;

    if (open && !late) {
        loop_timer_start(gateway->drain_timer, DRAIN_CHECK_MS);
        return;
    }
    if (open)
        log_warn("gateway", "drain timeout, closing open connections", "connections=%zu", open);
    if (gateway->presence)
        presence_remove(gateway->presence, gateway_on_left, gateway);
    else
        loop_stop(gateway->loop);
}

void gateway_drain(struct gateway *gateway)
{
    if (gateway->api.draining)
        return;
    gateway->api.draining = true;
    gateway->drain_until_ms = clock_monotonic_ms() + DRAIN_MS;
    http_server_drain(gateway->server);
    streams_drain(gateway->streams);
    orders_drain(gateway->orders);
    gateway->drain_timer = loop_timer_create(gateway->loop, gateway_on_drain_timer, gateway);
    if (gateway->drain_timer)
        loop_timer_start(gateway->drain_timer, DRAIN_CHECK_MS);
    else
        loop_stop(gateway->loop);
}

void gateway_reload(struct gateway *gateway)
{
    struct keyset *keys = keyring_take(gateway->config.keyring);

    keyset_unref(gateway->admission.keys);
    gateway->admission.keys = keys;
    catalogue_unref(gateway->api.catalogue);
    gateway->api.catalogue = catalogue_file_take(gateway->config.models);
}
