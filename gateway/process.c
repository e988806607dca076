#include "gateway/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/http/server.h"
#include "common/http/tls.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/presence.h"
#include "common/systemd_notify.h"
#include "gateway/gateway.h"
#include "gateway/gateway_metrics.h"
#include "gateway/gateway_options.h"
#include "gateway/keys/keyring.h"

enum { QUOTED_SIZE = 512, WHY_MAX = 1024 };

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
    struct process_config config;
    char name[PRESENCE_NAME_SIZE];
    struct gateway_metrics *metrics;
    struct systemd_notify *notify; /* NULL: there is no service manager */
    struct gateway_thread *threads;
    size_t count;
    atomic_int phase;
    atomic_size_t redis_ready;
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
    systemd_notify_stopping(process->notify);
}

static void on_stop(void *arg)
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
    if (keyring_load(process->config.keyring, &why))
        log_error("gateway", "cannot read the keys anew, the old ones stay", "file=%s why=%s",
                  process->config.options->keys_file, log_quote(quoted, sizeof(quoted), buf_text(&why)));
    buf_deinit(&why);
}

/* SIGHUP: reads anew what is kept in files, then lets every gateway take it. What cannot be read stays as it was. */
static void on_reload(void *arg)
{
    struct process *process = arg;

    log_info("gateway", "reloading", "reason=signal");
    systemd_notify_reloading(process->notify);
    reload_certificate(process);
    reload_keys(process);
    tell_threads(process);
    systemd_notify_ready(process->notify);
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

static void describe(char out[SYSTEMD_STATUS_SIZE], void *arg)
{
    const struct process *process = arg;
    const struct gateway *first = process->threads[0].gateway;

    (void)snprintf(out, SYSTEMD_STATUS_SIZE, "%s %s",
                   first->draining               ? "draining, was on"
                   : gateway_is_connected(first) ? "serving on"
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
    const struct systemd_notify_config config = {.loop = process->threads[0].gateway->loop,
                                                 .program = "gateway",
                                                 .describe = describe,
                                                 .is_alive = is_alive,
                                                 .arg = process};

    for (size_t i = 0; i < process->count; i++)
        atomic_store(&process->threads[i].has_turned, true);
    process->notify = systemd_notify_create(&config);
    systemd_notify_ready(process->notify);
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
        .options = process->config.options,
        .redis = process->config.redis,
        .cors = process->config.cors,
        .keyring = process->config.keyring,
        .metrics = process->metrics,
        .redis_ready = &process->redis_ready,
        .thread = i,
        .name = i ? NULL : process->name,
        .tls = process->config.tls,
        .address_limit = process->config.address_limit,
        .listen = i ? http_server_address(process->threads[0].gateway->server) : process->config.options->listen,
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

    process->threads = calloc((size_t)process->config.options->threads, sizeof(*process->threads));
    process->metrics = gateway_metrics_create((size_t)process->config.options->threads);
    if (!process->threads || !process->metrics)
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

static void destroy(struct process *process)
{
    systemd_notify_destroy(process->notify);
    while (process->count)
        gateway_destroy(process->threads[--process->count].gateway);
    free(process->threads);
    gateway_metrics_destroy(process->metrics);
}

static enum process_end end_of(struct process *process, int err)
{
    if (atomic_load(&process->unfit))
        return PROCESS_UNFIT;
    if (err)
        return PROCESS_FAILED;
    return atomic_load(&process->phase) == PHASE_STOPPING ? PROCESS_STOPPED : PROCESS_DRAINED;
}

enum process_end process_run(const struct process_config *config)
{
    struct process process = {.config = *config};
    int err = run(&process);
    enum process_end end = end_of(&process, err);

    destroy(&process);
    if (err)
        log_error("gateway", "stopped", "reason=\"%s\"", err_text(err));
    return end;
}
