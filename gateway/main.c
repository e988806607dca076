/* arkrelay-gateway - takes tasks over HTTP into Redis, and streams what becomes of them
 *
 * The main thread creates one gateway per thread, runs the first of them and hears the signals; the others run on threads of
 * their own and are told by a wake-up to look at the phase.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/buf.h"
#include "common/core_dump.h"
#include "common/http/peers.h"
#include "common/http/probe.h"
#include "common/http/server.h"
#include "common/http/tls.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/presence.h"
#include "common/redis/address.h"
#include "gateway/cors.h"
#include "gateway/gateway.h"
#include "gateway/gateway_metrics.h"
#include "gateway/gateway_options.h"
#include "gateway/keys/client.h"
#include "gateway/keys/key_command.h"
#include "gateway/keys/keyring.h"
#include "gateway/streams/hub.h"

enum { PROBE_MS = 3000, REDIS_TEXT_SIZE = 256, QUOTED_SIZE = 512, WHY_MAX = 1024, OTHER_FILES = 64 };

enum phase { PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPING };

struct process;

struct gateway_thread {
    struct process *process;
    struct gateway *gateway;
    pthread_t thread;
    atomic_bool has_turned; /* since the service manager's watchdog was last told */
    bool running;           /* the first one runs on the main thread, which is not in here */
};

struct process {
    struct gateway_options options;
    struct redis_address redis;
    struct cors *cors;
    struct keyring *keyring;
    struct gateway_metrics *metrics;
    struct notify *notify; /* NULL: there is no service manager */
    char name[PRESENCE_NAME_SIZE];
    struct http_tls *tls;     /* NULL: plain HTTP */
    struct http_peers *peers; /* NULL: no maximum per address */
    struct gateway_thread *threads;
    size_t count;
    atomic_int phase;
    atomic_bool unfit; /* Redis must not keep tasks */
};

/* -- phases */

/* On the thread's own loop, after every wake-up. */
static void follow_process(void *arg)
{
    struct gateway_thread *self = arg;

    atomic_store(&self->has_turned, true);
    gateway_reload(self->gateway);

    switch ((enum phase)atomic_load(&self->process->phase)) {
    case PHASE_SERVING:
        break;
    case PHASE_DRAINING:
        gateway_drain(self->gateway);
        break;
    case PHASE_STOPPING:
        loop_stop(self->gateway->loop);
        break;
    }
}

static void tell_threads(struct process *process)
{
    for (size_t i = 1; i < process->count; i++)
        loop_wakeup(process->threads[i].gateway->loop);
    follow_process(&process->threads[0]);
}

static void enter_phase(struct process *process, enum phase phase)
{
    atomic_store(&process->phase, phase);
    tell_threads(process);
}

static void on_drain(void *arg)
{
    struct process *process = arg;

    log_info("gateway", "draining", "reason=signal");
    enter_phase(process, PHASE_DRAINING);
    notify_stopping(process->notify);
}

static void on_stop(void *arg)
{
    enter_phase(arg, PHASE_STOPPING);
}

static void reload_certificate(struct process *process)
{
    const struct gateway_options *options = &process->options;
    const char *why;

    if (!process->tls)
        return;
    if (http_tls_reload(process->tls, &why))
        log_error("gateway", "cannot read the certificate anew, the old one stays", "cert=%s key=%s why=\"%s\"",
                  options->tls_cert, options->tls_key, why);
    else
        log_info("gateway", "certificate read anew", "cert=%s", options->tls_cert);
}

static void reload_keys(struct process *process)
{
    char quoted[QUOTED_SIZE];
    struct buf why;

    buf_init(&why, WHY_MAX);
    if (keyring_load(process->keyring, &why))
        log_error("gateway", "cannot read the keys anew, the old ones stay", "file=%s why=%s",
                  process->options.keys_file, log_quote(quoted, sizeof(quoted), buf_text(&why)));
    buf_deinit(&why);
}

/* SIGHUP: reads anew what is kept in files, then lets every gateway take it. What cannot be read stays as it was. */
static void on_reload(void *arg)
{
    struct process *process = arg;

    log_info("gateway", "reloading", "reason=signal");
    notify_reloading(process->notify);
    reload_certificate(process);
    reload_keys(process);
    tell_threads(process);
    notify_ready(process->notify);
}

/* On any thread, and perhaps on each of them: one says so. */
static void on_unfit(const char *why, void *arg)
{
    struct process *process = arg;
    char quoted[512];

    if (atomic_exchange(&process->unfit, true))
        return;
    log_error("gateway", "this Redis must not keep tasks", "why=%s", log_quote(quoted, sizeof(quoted), why));
    atomic_store(&process->phase, PHASE_STOPPING);
    for (size_t i = 0; i < process->count; i++)
        loop_wakeup(process->threads[i].gateway->loop);
}

/* -- the service manager */

static void describe(char out[NOTIFY_STATUS_SIZE], void *arg)
{
    const struct process *process = arg;
    const struct gateway *first = process->threads[0].gateway;

    (void)snprintf(out, NOTIFY_STATUS_SIZE, "%s %s",
                   first->draining            ? "draining, was on"
                   : hub_is_ready(first->hub) ? "serving on"
                                              : "waiting for Redis, listening on",
                   http_server_address(first->server));
}

/* Every thread has to have turned since it was last asked. Those that drain may be gone already. */
static bool is_alive(void *arg)
{
    struct process *process = arg;

    if (atomic_load(&process->phase) != PHASE_SERVING)
        return true;
    for (size_t i = 1; i < process->count; i++)
        if (!atomic_load(&process->threads[i].has_turned))
            return false;
    for (size_t i = 1; i < process->count; i++) {
        atomic_store(&process->threads[i].has_turned, false);
        loop_wakeup(process->threads[i].gateway->loop);
    }
    return true;
}

/* A gateway is ready when it listens: clients get an answer, and one that waits for Redis is not to be ended for it. */
static void notify_listening(struct process *process)
{
    const struct notify_config config = {.loop = process->threads[0].gateway->loop,
                                         .program = "gateway",
                                         .describe = describe,
                                         .is_alive = is_alive,
                                         .arg = process};

    for (size_t i = 0; i < process->count; i++)
        atomic_store(&process->threads[i].has_turned, true);
    process->notify = notify_create(&config);
    notify_ready(process->notify);
}

/* -- threads */

static void *run_thread(void *arg)
{
    const struct gateway_thread *self = arg;

    loop_run(self->gateway->loop);
    return NULL;
}

static int create_gateway(struct process *process, size_t i)
{
    const struct gateway_config config = {
        .options = &process->options,
        .redis = &process->redis,
        .cors = process->cors,
        .keyring = process->keyring,
        .metrics = process->metrics,
        .thread = i,
        .name = i ? NULL : process->name,
        .tls = process->tls,
        .peers = process->peers,
        .listen = i ? http_server_address(process->threads[0].gateway->server) : process->options.listen,
        .on_unfit = on_unfit,
        .arg = process,
    };
    struct gateway_thread *self = &process->threads[i];
    const char *why;

    self->process = process;
    self->gateway = gateway_create(&config, &why);
    if (!self->gateway) {
        log_error("gateway", "cannot start", "listen=%s reason=\"%s\"", config.listen, why);
        return ERR_SYSTEM;
    }
    process->count++;
    return loop_on_wakeup(self->gateway->loop, follow_process, self);
}

static int start_threads(struct process *process)
{
    struct loop *loop = process->threads[0].gateway->loop;
    int err = loop_on_signals(loop, on_drain, on_stop, process);

    if (!err)
        err = loop_on_reload(loop, on_reload, process);
    for (size_t i = 1; !err && i < process->count; i++) {
        struct gateway_thread *self = &process->threads[i];

        if (pthread_create(&self->thread, NULL, run_thread, self))
            err = ERR_SYSTEM;
        else
            self->running = true;
    }
    return err;
}

/* Those that run already, when not all could be started. */
static void stop_threads(struct process *process)
{
    atomic_store(&process->phase, PHASE_STOPPING);
    for (size_t i = 1; i < process->count; i++)
        if (process->threads[i].running)
            loop_wakeup(process->threads[i].gateway->loop);
}

static int run(struct process *process)
{
    int err = 0;

    process->threads = calloc((size_t)process->options.threads, sizeof(*process->threads));
    process->metrics = gateway_metrics_create((size_t)process->options.threads);
    if (!process->threads || !process->metrics)
        return ERR_NO_MEMORY;
    presence_name(process->name, "");
    for (size_t i = 0; !err && i < (size_t)process->options.threads; i++)
        err = create_gateway(process, i);
    if (!err)
        err = start_threads(process);
    if (err) {
        stop_threads(process);
    } else {
        log_info("gateway", "listening", "address=%s", http_server_address(process->threads[0].gateway->server));
        notify_listening(process);
        loop_run(process->threads[0].gateway->loop);
    }
    for (size_t i = 1; i < process->count; i++)
        if (process->threads[i].running)
            (void)pthread_join(process->threads[i].thread, NULL);
    return err;
}

static void destroy_threads(struct process *process)
{
    notify_destroy(process->notify);
    while (process->count)
        gateway_destroy(process->threads[--process->count].gateway);
    free(process->threads);
    gateway_metrics_destroy(process->metrics);
}

/* -- the process */

/* A stream is a file descriptor: as many as the system lets us have. */
static void raise_file_limit(const struct gateway_options *options)
{
    rlim_t wanted = (rlim_t)(options->threads * options->connections_max + OTHER_FILES * (options->threads + 1));
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted)
        log_warn("gateway", "the system allows fewer open files than connections-max; continuing",
                 "files=%llu wanted=%llu", (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static void log_options(const struct process *process)
{
    const struct gateway_options *o = &process->options;
    char redis[REDIS_TEXT_SIZE], origins[256];

    redis_address_text(&process->redis, redis, sizeof(redis));
    log_info("gateway", "starting",
             "version=%s listen=%s threads=%lld redis=%s heartbeat_ms=%lld tail_check_ms=%lld hints_ms=%lld "
             "queue_limit=%lld queue_ttl_ms=%lld retention_ms=%lld max_paid_calls=%lld max_paid_calls_limit=%lld "
             "cors_origins=%s body_max=%lld connections_max=%lld output_max=%lld data_urls=%s admin=%s keys=%s "
             "client_requests=%lld client_streams=%lld client_queue_limit=%lld client_images=%lld open=%s tls=%s "
             "connections_per_address=%lld stream_life_ms=%lld",
             ARKRELAY_VERSION, o->listen, (long long)o->threads, redis, (long long)o->heartbeat_ms,
             (long long)o->tail_check_ms, (long long)o->hints_ms, (long long)o->queue_limit, (long long)o->queue_ttl_ms,
             (long long)o->retention_ms, (long long)o->max_paid_calls, (long long)o->max_paid_calls_limit,
             log_quote(origins, sizeof(origins), o->cors_origins), (long long)o->body_max,
             (long long)o->connections_max, (long long)o->output_max, o->data_urls ? "on" : "off",
             *o->admin_key ? "on" : "off", *o->keys_file ? "on" : "off", (long long)o->client_requests,
             (long long)o->client_streams, (long long)o->client_limit, (long long)o->client_images,
             o->open ? "on" : "off", *o->tls_cert ? "on" : "off", (long long)o->connections_per_address,
             (long long)o->stream_life_ms);
}

/* Those beyond the maximum that are being told so have no entry in it. */
static int create_peers(struct process *process)
{
    const struct gateway_options *options = &process->options;
    int64_t connections_max = options->threads * options->connections_max;

    if (!options->connections_per_address || options->connections_per_address >= connections_max)
        return 0;
    process->peers = http_peers_create((size_t)connections_max, (size_t)options->connections_per_address);
    return process->peers ? 0 : ERR_NO_MEMORY;
}

static int load_keys(struct process *process)
{
    const struct gateway_options *o = &process->options;
    bool has_keys = *o->keys_file;
    const struct keyring_config config = {
        .path = has_keys ? o->keys_file : NULL,
        .defaults = {.most = {[CLIENT_REQUESTS] = o->client_requests,
                              [CLIENT_QUEUED] = o->client_limit,
                              [CLIENT_STREAMS] = o->client_streams,
                              [CLIENT_IMAGES] = o->client_images}},
        .open = {.most = {[CLIENT_QUEUED] = o->client_limit, [CLIENT_IMAGES] = o->client_images}},
    };
    struct buf why;
    int err;

    if (!has_keys)
        log_warn("gateway", "open: there are no keys, and whoever reaches this port spends the ARK account's money",
                 "listen=%s", o->listen);
    process->keyring = keyring_create(&config);
    buf_init(&why, WHY_MAX);
    err = process->keyring ? keyring_load(process->keyring, &why) : ERR_NO_MEMORY;
    if (err)
        (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_KEYS_FILE %s: %s%s\n", o->keys_file,
                      why.len ? buf_text(&why) : err_text(err),
                      err == ERR_SYSTEM ? "; a first key makes the file: arkrelay-gateway --new-key NAME" : "");
    buf_deinit(&why);
    return err;
}

static int serve(struct process *process)
{
    int err;

    log_setup((enum log_level)process->options.shared.log_level, (enum log_format)process->options.shared.log_format);
    if (!process->options.shared.core_dumps)
        core_dump_forbid();
    log_options(process);
    if (load_keys(process))
        return OPTIONS_EXIT_BAD;
    raise_file_limit(&process->options);
    process->cors = cors_create(process->options.cors_origins);
    err = process->cors ? create_peers(process) : ERR_NO_MEMORY;
    if (!err)
        err = run(process);
    destroy_threads(process);
    http_peers_destroy(process->peers);
    cors_destroy(process->cors);
    if (err)
        log_error("gateway", "stopped", "reason=\"%s\"", err_text(err));
    else
        log_info("gateway", "stopped", "reason=%s",
                 atomic_load(&process->unfit)                     ? "unfit-redis"
                 : atomic_load(&process->phase) == PHASE_STOPPING ? "second-signal"
                                                                  : "drained");
    if (atomic_load(&process->unfit))
        return OPTIONS_EXIT_BAD;
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int healthcheck(const struct gateway_options *options)
{
    enum http_probe_over over = *options->tls_cert ? PROBE_TLS : PROBE_PLAIN;

    return http_probe(options->listen, over, "/readyz", PROBE_MS) == 200 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int load_certificate(struct process *process)
{
    const struct gateway_options *options = &process->options;
    const char *why;

    if (!*options->tls_cert)
        return 0;
    process->tls = http_tls_create(options->tls_cert, options->tls_key, &why);
    if (process->tls)
        return 0;
    (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_TLS_CERT %s with GATEWAY_TLS_KEY %s: %s\n", options->tls_cert,
                  options->tls_key, why);
    return OPTIONS_EXIT_BAD;
}

static int parse_redis(struct process *process)
{
    const struct shared_options *shared = &process->options.shared;
    const char *why = "out of memory";

    if (redis_address_parse(shared->redis_url, &process->redis, &why)) {
        (void)fprintf(stderr, "arkrelay-gateway: REDIS_URL: %s\n", why);
        return OPTIONS_EXIT_BAD;
    }
    process->redis.ca_file = shared->redis_ca_file;
    return 0;
}

int main(int argc, char **argv)
{
    struct process process = {0};
    enum options_outcome outcome = options_load(&gateway_option_table, argc, argv, &process.options);
    int status = OPTIONS_EXIT_BAD;

    if (outcome != OPTIONS_RUN)
        return outcome == OPTIONS_DONE ? EXIT_SUCCESS : OPTIONS_EXIT_BAD;
    if (process.options.shared.healthcheck) {
        status = healthcheck(&process.options);
    } else if (key_command_is_wanted(&process.options)) {
        status = key_command(&process.options);
    } else if (gateway_options_agree(&process.options)) {
        status = parse_redis(&process);
        if (!status)
            status = load_certificate(&process);
        if (!status)
            status = serve(&process);
        keyring_destroy(process.keyring);
        http_tls_destroy(process.tls);
        redis_address_deinit(&process.redis);
    }
    options_deinit(&gateway_option_table, &process.options);
    return status;
}
