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

#include "common/http/probe.h"
#include "common/http/server.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/redis/address.h"
#include "gateway/cors.h"
#include "gateway/gateway.h"
#include "gateway/gateway_options.h"

enum { PROBE_MS = 3000, REDIS_TEXT_SIZE = 256, OTHER_FILES = 64 };

enum phase { PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPING };

struct process;

struct gateway_thread {
    struct process *process;
    struct gateway *gateway;
    pthread_t thread;
    bool running; /* the first one runs on the main thread, which is not in here */
};

struct process {
    struct gateway_options options;
    struct redis_address redis;
    struct cors *cors;
    struct gateway_thread *threads;
    size_t count;
    atomic_int phase;
};

/* -- phases */

static void follow_phase(void *arg)
{
    struct gateway_thread *self = arg;

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

static void enter_phase(struct process *process, enum phase phase)
{
    atomic_store(&process->phase, phase);
    for (size_t i = 1; i < process->count; i++)
        loop_wakeup(process->threads[i].gateway->loop);
    follow_phase(&process->threads[0]);
}

static void on_drain(void *arg)
{
    log_info("gateway", "draining", "reason=signal");
    enter_phase(arg, PHASE_DRAINING);
}

static void on_stop(void *arg)
{
    enter_phase(arg, PHASE_STOPPING);
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
        .listen = i ? http_server_address(process->threads[0].gateway->server) : process->options.listen,
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
    return loop_on_wakeup(self->gateway->loop, follow_phase, self);
}

static int start_threads(struct process *process)
{
    struct loop *loop = process->threads[0].gateway->loop;
    int err = loop_on_signals(loop, on_drain, on_stop, process);

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
    if (!process->threads)
        return ERR_NO_MEMORY;
    for (size_t i = 0; !err && i < (size_t)process->options.threads; i++)
        err = create_gateway(process, i);
    if (!err)
        err = start_threads(process);
    if (err) {
        stop_threads(process);
    } else {
        log_info("gateway", "listening", "address=%s", http_server_address(process->threads[0].gateway->server));
        loop_run(process->threads[0].gateway->loop);
    }
    for (size_t i = 1; i < process->count; i++)
        if (process->threads[i].running)
            (void)pthread_join(process->threads[i].thread, NULL);
    return err;
}

static void destroy_threads(struct process *process)
{
    while (process->count)
        gateway_destroy(process->threads[--process->count].gateway);
    free(process->threads);
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
             "cors_origins=%s body_max=%lld connections_max=%lld output_max=%lld data_urls=%s admin=%s open=%s",
             ARKRELAY_VERSION, o->listen, (long long)o->threads, redis, (long long)o->heartbeat_ms,
             (long long)o->tail_check_ms, (long long)o->hints_ms, (long long)o->queue_limit, (long long)o->queue_ttl_ms,
             (long long)o->retention_ms, (long long)o->max_paid_calls, (long long)o->max_paid_calls_limit,
             log_quote(origins, sizeof(origins), o->cors_origins), (long long)o->body_max,
             (long long)o->connections_max, (long long)o->output_max, o->data_urls ? "on" : "off",
             *o->admin_key ? "on" : "off", o->open ? "on" : "off");
}

static int serve(struct process *process)
{
    int err;

    log_setup((enum log_level)process->options.shared.log_level, (enum log_format)process->options.shared.log_format);
    log_options(process);
    raise_file_limit(&process->options);
    process->cors = cors_create(process->options.cors_origins);
    err = process->cors ? run(process) : ERR_NO_MEMORY;
    destroy_threads(process);
    cors_destroy(process->cors);
    if (err)
        log_error("gateway", "stopped", "reason=\"%s\"", err_text(err));
    else
        log_info("gateway", "stopped", "reason=%s",
                 atomic_load(&process->phase) == PHASE_STOPPING ? "second-signal" : "drained");
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int healthcheck(const struct gateway_options *options)
{
    return http_probe(options->listen, "/readyz", PROBE_MS) == 200 ? EXIT_SUCCESS : EXIT_FAILURE;
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
    } else if (gateway_options_agree(&process.options)) {
        status = parse_redis(&process);
        if (!status)
            status = serve(&process);
        redis_address_deinit(&process.redis);
    }
    options_deinit(&gateway_option_table, &process.options);
    return status;
}
