#include "gateway/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/disk_pool.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/http/server.h"
#include "common/http/tls.h"
#include "common/models/catalogue_file.h"
#include "common/models/default_warnings.h"
#include "common/ops/presence.h"
#include "common/ops/systemd_notify.h"
#include "gateway/access/keyring.h"
#include "gateway/gateway.h"
#include "gateway/metrics/gateway_metrics.h"
#include "gateway/options.h"
#include "gateway/routes.h"

enum { QUOTED_SIZE = 512, WHY_MAX = 1024, DISK_THREADS = 4, DISK_WAITING_MAX = 1024 };

enum phase { PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPING };

struct process;

struct gateway_thread {
    struct process *process;
    struct gateway *gateway;
    pthread_t thread;
    atomic_bool has_turned; /* since the last watchdog check */
    bool running;           /* false for the first, which runs on the main thread */
};

struct process {
    struct process_config config;
    char name[PRESENCE_NAME_SIZE];
    struct gateway_metrics *metrics;
    struct disk_pool *disk_pool;   /* NULL: pictures are not kept */
    struct systemd_notify *notify; /* NULL: not run by systemd */
    struct gateway_thread *threads;
    size_t count;
    atomic_int phase;
    atomic_size_t redis_ready;
    atomic_bool misconfigured; /* Redis is misconfigured */
};

/* -- phases */

/* Runs on the thread's own loop after every wake-up. */
static void process_on_wakeup(void *arg)
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

static void wake_threads(struct process *process)
{
    for (size_t i = 1; i < process->count; i++)
        loop_wakeup(process->threads[i].gateway->loop);
    process_on_wakeup(&process->threads[0]);
}

static void enter_phase(struct process *process, enum phase phase)
{
    atomic_store(&process->phase, phase);
    wake_threads(process);
}

static void process_on_drain(void *arg)
{
    struct process *process = arg;

    log_info("gateway", "draining", "reason=signal");
    enter_phase(process, PHASE_DRAINING);
    systemd_notify_stopping(process->notify);
}

static void process_on_stop(void *arg)
{
    enter_phase(arg, PHASE_STOPPING);
}

static void reload_certificate(struct process *process)
{
    const struct gateway_options *options = process->config.options;
    const char *why;

    if (!process->config.tls)
        return;
    if (http_tls_reload(process->config.tls, &why))
        log_error("gateway", "certificate reload failed, keeping the old one", "cert=%s key=%s why=\"%s\"",
                  options->tls_cert, options->tls_key, why);
    else
        log_info("gateway", "certificate reloaded", "cert=%s", options->tls_cert);
}

static void reload_keys(struct process *process)
{
    char quoted[QUOTED_SIZE];
    struct buf why;

    buf_init(&why, WHY_MAX);
    if (keyring_load(process->config.keyring, &why))
        log_error("gateway", "keys reload failed, keeping the old ones", "file=%s why=%s",
                  process->config.options->keys_file, log_quote(quoted, sizeof(quoted), buf_text(&why)));
    buf_deinit(&why);
}

/* SIGHUP. Files that cannot be read leave the old state in place. */
static void process_on_reload(void *arg)
{
    struct process *process = arg;

    log_info("gateway", "reloading", "reason=signal");
    systemd_notify_reloading(process->notify);
    reload_certificate(process);
    reload_keys(process);
    catalogue_file_reload(process->config.models, "gateway");
    default_warnings_log(&process->config.options->request, process->config.models, "gateway");
    wake_threads(process);
    systemd_notify_ready(process->notify);
}

/* May be called on every thread; only the first call logs. */
static void process_on_misconfigured(const char *why, void *arg)
{
    struct process *process = arg;
    char quoted[512];

    if (atomic_exchange(&process->misconfigured, true))
        return;
    log_error("gateway", "Redis is misconfigured, stopping", "why=%s", log_quote(quoted, sizeof(quoted), why));
    atomic_store(&process->phase, PHASE_STOPPING);
    for (size_t i = 0; i < process->count; i++)
        loop_wakeup(process->threads[i].gateway->loop);
}

/* -- the service manager */

static void process_describe(char out[SYSTEMD_STATUS_SIZE], void *arg)
{
    const struct process *process = arg;
    const struct gateway *first = process->threads[0].gateway;

    (void)snprintf(out, SYSTEMD_STATUS_SIZE, "%s %s",
                   first->api.draining           ? "draining, was on"
                   : gateway_is_connected(first) ? "serving on"
                                                 : "waiting for Redis, listening on",
                   http_server_address(first->server));
}

/* True if every thread's loop has turned since the last call. While draining always true: threads may have ended. */
static bool process_is_alive(void *arg)
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

/* Ready means listening. While Redis is not connected, clients get a 503, and systemd must not restart the gateway for that. */
static void notify_listening(struct process *process)
{
    const struct systemd_notify_config config = {.loop = process->threads[0].gateway->loop,
                                                 .program = "gateway",
                                                 .describe = process_describe,
                                                 .is_alive = process_is_alive,
                                                 .arg = process};

    for (size_t i = 0; i < process->count; i++)
        atomic_store(&process->threads[i].has_turned, true);
    process->notify = systemd_notify_create(&config);
    systemd_notify_ready(process->notify);
}

/* -- threads */

static void *thread_main(void *arg)
{
    const struct gateway_thread *self = arg;

    loop_run(self->gateway->loop);
    return NULL;
}

static int create_gateway(struct process *process, size_t i)
{
    const struct gateway_config config = {
        .options = process->config.options,
        .redis = process->config.redis,
        .cors = process->config.cors,
        .keyring = process->config.keyring,
        .models = process->config.models,
        .metrics = process->metrics,
        .redis_ready = &process->redis_ready,
        .thread = i,
        .name = i ? NULL : process->name,
        .tls = process->config.tls,
        .disk_pool = process->disk_pool,
        .address_limit = process->config.address_limit,
        .listen = i ? http_server_address(process->threads[0].gateway->server) : process->config.options->listen,
        .on_misconfigured = process_on_misconfigured,
        .arg = process,
    };
    struct gateway_thread *self = &process->threads[i];
    struct buf why;

    self->process = process;
    buf_init(&why, WHY_MAX);
    self->gateway = gateway_create(&config, &why);
    if (!self->gateway)
        log_error("gateway", "cannot start", "listen=%s reason=\"%s\"", config.listen, buf_text(&why));
    buf_deinit(&why);
    if (!self->gateway)
        return ERR_SYSTEM;
    process->count++;
    return loop_on_wakeup(self->gateway->loop, process_on_wakeup, self);
}

static int start_threads(struct process *process)
{
    struct loop *loop = process->threads[0].gateway->loop;
    int err = loop_on_signals(loop, process_on_drain, process_on_stop, process);

    if (!err)
        err = loop_on_reload(loop, process_on_reload, process);
    for (size_t i = 1; !err && i < process->count; i++) {
        struct gateway_thread *self = &process->threads[i];

        if (pthread_create(&self->thread, NULL, thread_main, self))
            err = ERR_SYSTEM;
        else
            self->running = true;
    }
    return err;
}

/* After a failed start: stops the threads that are running. */
static void stop_threads(struct process *process)
{
    atomic_store(&process->phase, PHASE_STOPPING);
    for (size_t i = 1; i < process->count; i++)
        if (process->threads[i].running)
            loop_wakeup(process->threads[i].gateway->loop);
}

static int process_run_threads(struct process *process)
{
    int err = 0;

    process->threads = calloc((size_t)process->config.options->threads, sizeof(*process->threads));
    process->metrics = gateway_metrics_create((size_t)process->config.options->threads, api_routes, api_route_count);
    if (!process->threads || !process->metrics)
        return ERR_NO_MEMORY;
    if (*process->config.options->storage.place &&
        !(process->disk_pool = disk_pool_create(DISK_THREADS, DISK_WAITING_MAX)))
        return ERR_NO_MEMORY;
    presence_name(process->name, "");
    for (size_t i = 0; !err && i < (size_t)process->config.options->threads; i++)
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

static void process_deinit(struct process *process)
{
    systemd_notify_destroy(process->notify);
    while (process->count)
        gateway_destroy(process->threads[--process->count].gateway);
    disk_pool_destroy(process->disk_pool);
    free(process->threads);
    gateway_metrics_destroy(process->metrics);
}

static enum process_end process_end_of(struct process *process, int err)
{
    if (atomic_load(&process->misconfigured))
        return PROCESS_MISCONFIGURED;
    if (err)
        return PROCESS_FAILED;
    return atomic_load(&process->phase) == PHASE_STOPPING ? PROCESS_STOPPED : PROCESS_DRAINED;
}

enum process_end process_run(const struct process_config *config)
{
    struct process process = {.config = *config};
    int err = process_run_threads(&process);
    enum process_end end = process_end_of(&process, err);

    process_deinit(&process);
    if (err)
        log_error("gateway", "stopped", "reason=\"%s\"", err_text(err));
    return end;
}
