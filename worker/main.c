/* arkrelay-worker: takes tasks from Redis and calls ARK for their images */
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/core_dump.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/http/healthcheck.h"
#include "common/models/catalogue_file.h"
#include "common/models/default_warnings.h"
#include "common/ops/presence.h"
#include "common/ops/systemd_notify.h"
#include "common/redis/address.h"
#include "common/webhook/signature.h"
#include "worker/health.h"
#include "worker/metrics/metrics.h"
#include "worker/options.h"
#include "worker/worker.h"

enum { ARK_FIRST_BYTE_DEFAULT_MS = 5 * 60 * 1000, WHY_MAX = 512 };

struct program {
    struct worker_options options;
    struct redis_address redis;
    char name[PRESENCE_NAME_SIZE];
    struct catalogue_file *models;
    struct loop *loop;
    struct metrics *metrics;
    struct worker *worker;
    struct health *health;
    struct systemd_notify *notify; /* NULL: not started by a service manager */
    bool unfit;                    /* Redis is misconfigured: exit with OPTIONS_EXIT_BAD */
};

static void main_on_drained(void *arg)
{
    struct program *program = arg;

    loop_stop(program->loop);
}

static void main_on_unfit(const char *why, void *arg)
{
    struct program *program = arg;
    char quoted[512];

    log_error("worker", "Redis is misconfigured, stopping", "why=%s", log_quote(quoted, sizeof(quoted), why));
    program->unfit = true;
    loop_stop(program->loop);
}

static void main_on_drain(void *arg)
{
    struct program *program = arg;

    worker_drain(program->worker);
    systemd_notify_stopping(program->notify);
}

static void main_on_stop(void *arg)
{
    struct program *program = arg;

    log_warn("worker", "stopping at once; other workers settle its jobs when their leases expire", "jobs=%d",
             worker_jobs(program->worker));
    loop_stop(program->loop);
}

/* SIGHUP. A file that cannot be read leaves the old catalogue in place. */
static void main_on_reload(void *arg)
{
    struct program *program = arg;

    log_info("worker", "reloading", "reason=signal");
    systemd_notify_reloading(program->notify);
    catalogue_file_reload(program->models, "worker");
    worker_reload(program->worker);
    default_warnings_log(&program->options.request, program->models, "worker");
    systemd_notify_ready(program->notify);
}

static void write_status(char out[SYSTEMD_STATUS_SIZE], void *arg)
{
    const struct program *program = arg;
    const char *at_work = program->options.roles == ROLES_OUTBOX ? "working on the outbox" : "taking tasks";
    int jobs = worker_jobs(program->worker);

    if (!worker_has_redis(program->worker))
        (void)snprintf(out, SYSTEMD_STATUS_SIZE, "waiting for Redis, %d jobs in flight", jobs);
    else
        (void)snprintf(out, SYSTEMD_STATUS_SIZE, "%s, %d jobs in flight",
                       worker_is_ready(program->worker) ? at_work : "draining", jobs);
}

/* A worker that waits for Redis reports READY too: the service manager must not restart it for that. */
static void notify_started(struct program *program)
{
    program->notify = systemd_notify_create(&(struct systemd_notify_config){
        .loop = program->loop, .program = "worker", .describe = write_status, .arg = program});
    systemd_notify_ready(program->notify);
}

/* A first-byte timeout above the timeout of the whole call would never fire. The default is lowered; a value that the operator set
 * is an error. */
static int check_timeouts(struct worker_options *options)
{
    if (options->ark_first_byte_timeout_ms <= options->ark_timeout_ms)
        return 0;
    if (options->ark_first_byte_timeout_ms == ARK_FIRST_BYTE_DEFAULT_MS) {
        options->ark_first_byte_timeout_ms = options->ark_timeout_ms;
        return 0;
    }
    fprintf(stderr, "arkrelay-worker: ARK_FIRST_BYTE_TIMEOUT %lldms is above ARK_TIMEOUT %lldms\n",
            (long long)options->ark_first_byte_timeout_ms, (long long)options->ark_timeout_ms);
    return ERR_RANGE;
}

_Static_assert(WEBHOOK_MASTER_MIN == 32, "a text below has this number");

static int check_webhook_secret(const char *secret)
{
    if (!*secret || strlen(secret) >= WEBHOOK_MASTER_MIN)
        return 0;
    (void)fprintf(stderr,
                  "arkrelay-worker: WEBHOOK_SECRET is too short: use at least 32 bytes, for example the output of "
                  "`openssl rand -hex 32`\n");
    return ERR_RANGE;
}

static int check_storage(const struct storage_options *options)
{
    struct buf why;
    bool is_valid;

    buf_init(&why, WHY_MAX);
    is_valid = location_is_valid(options, &why);
    if (!is_valid)
        (void)fprintf(stderr, "arkrelay-worker: STORAGE %s: %s\n", options->place, buf_text(&why));
    buf_deinit(&why);
    return is_valid ? 0 : ERR_RANGE;
}

/* Checks that involve more than one option. Prints the error. */
static int check_options(struct program *program)
{
    struct worker_options *options = &program->options;
    const char *why;

    if (check_storage(&options->storage) || check_webhook_secret(options->shared.webhook_secret))
        return ERR_RANGE;
    if (options->roles != ROLES_OUTBOX && !*options->ark_api_key && !*options->ark_sim_url) {
        fprintf(stderr, "arkrelay-worker: ARK_API_KEY is not set (environment, .env, or scripts/setup_env.sh); "
                        "to try without one, run arkrelay-ark-sim and set ARK_SIM_URL\n");
        return ERR_RANGE;
    }
    if (redis_address_parse(options->shared.redis_url, &program->redis, &why)) {
        fprintf(stderr, "arkrelay-worker: REDIS_URL: %s\n", why);
        return ERR_RANGE;
    }
    program->redis.ca_file = options->shared.redis_ca_file;
    return check_timeouts(options);
}

static void log_start(const struct program *program)
{
    const struct worker_options *options = &program->options;
    char redis[128];

    redis_address_text(&program->redis, redis, sizeof(redis));
    if (!*options->ark_api_key && options->roles != ROLES_OUTBOX)
        log_warn("worker", "SIMULATION: ARK_API_KEY is not set, images come from a simulator and cost nothing",
                 "ark=%s", options->ark_sim_url);
    if (!*options->storage.place && !*options->shared.webhook_secret && options->roles == ROLES_OUTBOX)
        log_warn("worker", "WORKER_ROLES=outbox without STORAGE and WEBHOOK_SECRET: there is nothing to do",
                 "roles=outbox");
    default_warnings_log(&program->options.request, program->models, "worker");
    log_info("worker", "starting", "version=%s name=%s redis=%s ark=%s model=%s concurrency=%lld lease_ms=%lld",
             ARKRELAY_VERSION, program->name, redis,
             *options->ark_api_key ? options->ark_base_url : options->ark_sim_url, options->request.model,
             (long long)options->concurrency, (long long)options->lease_ms);
}

static int create_worker(struct program *program)
{
    program->metrics = metrics_create(&worker_metric_table);
    if (program->options.roles != ROLES_OUTBOX) {
        metrics_set(program->metrics, SAMPLE(METRIC_WORKER_SLOTS), program->options.concurrency);
        metrics_set(program->metrics, SAMPLE(METRIC_IMAGES_LIMIT), program->options.ark_images_per_minute);
    }
    program->loop = loop_create();
    if (!program->metrics || !program->loop || loop_on_signals(program->loop, main_on_drain, main_on_stop, program) ||
        loop_on_reload(program->loop, main_on_reload, program))
        return ERR_NO_MEMORY;
    program->worker = worker_create(&(struct worker_config){.loop = program->loop,
                                                            .options = &program->options,
                                                            .redis = &program->redis,
                                                            .models = program->models,
                                                            .name = program->name,
                                                            .metrics = program->metrics,
                                                            .on_drained = main_on_drained,
                                                            .on_unfit = main_on_unfit,
                                                            .arg = program});
    return program->worker ? 0 : ERR_NO_MEMORY;
}

static int create_health(struct program *program)
{
    const struct health_config config = {
        .listen = program->options.listen, .worker = program->worker, .metrics = program->metrics};
    const char *why;

    if (strcmp(program->options.listen, LISTEN_OFF) == 0)
        return 0;
    program->health = health_create(program->loop, &config, &why);
    if (program->health)
        return 0;
    log_error("worker", "cannot listen", "address=%s error=\"%s\"", program->options.listen, why);
    return ERR_SYSTEM;
}

static int program_create_parts(struct program *program)
{
    int err = create_worker(program);

    if (!err)
        return create_health(program);
    log_error("worker", "cannot start", "error=\"%s\"", err_text(err));
    return err;
}

static void destroy_parts(struct program *program)
{
    systemd_notify_destroy(program->notify);
    health_destroy(program->health);
    worker_destroy(program->worker);
    loop_destroy(program->loop);
    catalogue_file_destroy(program->models);
    metrics_destroy(program->metrics);
}

static int program_run(struct program *program)
{
    int err;

    if (check_options(program))
        return OPTIONS_EXIT_BAD;
    log_setup((enum log_level)program->options.shared.log_level, (enum log_format)program->options.shared.log_format);
    if (!program->options.shared.core_dumps)
        core_dump_disable();
    presence_name(program->name, program->options.name);
    program->models = catalogue_file_open(program->options.shared.models_file, "worker", "arkrelay-worker");
    if (!program->models)
        return OPTIONS_EXIT_BAD;
    log_start(program);
    err = program_create_parts(program);
    if (!err) {
        notify_started(program);
        loop_run(program->loop);
        log_info("worker", "stopped", "jobs=%d", worker_jobs(program->worker));
    }
    destroy_parts(program);
    if (program->unfit)
        return OPTIONS_EXIT_BAD;
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check_health(const struct program *program)
{
    return http_healthcheck_main("arkrelay-worker", health_address(program->options.listen), HEALTHCHECK_PLAIN,
                                 "/readyz");
}

int main(int argc, char **argv)
{
    struct program program = {0};
    int code;

    switch (options_load(&worker_option_table, argc, argv, &program.options)) {
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_BAD:
        return OPTIONS_EXIT_BAD;
    case OPTIONS_RUN:
        break;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return EXIT_FAILURE;
    json_object_seed(0);
    code = program.options.shared.healthcheck ? check_health(&program) : program_run(&program);
    redis_address_deinit(&program.redis);
    options_deinit(&worker_option_table, &program.options);
    curl_global_cleanup();
    return code;
}
