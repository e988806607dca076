/* arkrelay-worker: takes tasks from Redis and has ARK make their pictures */
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core_dump.h"
#include "common/err.h"
#include "common/http/probe.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/presence.h"
#include "common/redis/address.h"
#include "worker/ark/model.h"
#include "worker/health.h"
#include "worker/metrics/metrics.h"
#include "worker/options.h"
#include "worker/worker.h"

enum { ARK_FIRST_BYTE_DEFAULT_MS = 5 * 60 * 1000 };

struct worker {
    struct worker_options options;
    struct redis_address redis;
    char name[PRESENCE_NAME_SIZE];
    struct loop *loop;
    struct metrics *metrics;
    struct runner *runner;
    struct health *health;
    struct notify *notify; /* NULL: there is no service manager */
    bool unfit;            /* Redis must not keep tasks */
};

static void on_drained(void *arg)
{
    struct worker *worker = arg;

    loop_stop(worker->loop);
}

static void on_unfit(const char *why, void *arg)
{
    struct worker *worker = arg;
    char quoted[512];

    log_error("worker", "this Redis must not keep tasks", "why=%s", log_quote(quoted, sizeof(quoted), why));
    worker->unfit = true;
    loop_stop(worker->loop);
}

static void on_drain(void *arg)
{
    struct worker *worker = arg;

    runner_drain(worker->runner);
    notify_stopping(worker->notify);
}

static void on_stop(void *arg)
{
    struct worker *worker = arg;

    log_warn("worker", "stops at once; what runs is settled when its lease lapses", "jobs=%d",
             runner_jobs(worker->runner));
    loop_stop(worker->loop);
}

static void describe(char out[NOTIFY_STATUS_SIZE], void *arg)
{
    const struct worker *worker = arg;
    int jobs = runner_jobs(worker->runner);

    if (!runner_has_redis(worker->runner))
        (void)snprintf(out, NOTIFY_STATUS_SIZE, "waiting for Redis, %d jobs in flight", jobs);
    else
        (void)snprintf(out, NOTIFY_STATUS_SIZE, "%s, %d jobs in flight",
                       runner_is_ready(worker->runner) ? "taking tasks" : "draining", jobs);
}

/* A worker that waits for Redis is at work too: it is not to be ended for it. */
static void notify_started(struct worker *worker)
{
    worker->notify = notify_create(
        &(struct notify_config){.loop = worker->loop, .program = "worker", .describe = describe, .arg = worker});
    notify_ready(worker->notify);
}

/* A timeout for the first byte that is not below the one for the whole call would never fire. The default gives way; a value that was
 * set does not. */
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

/* What the rows of the table cannot say. Prints what is wrong. */
static int check_options(struct worker *worker)
{
    struct worker_options *options = &worker->options;
    const char *why;

    if (!*options->ark_api_key && !*options->ark_sim_url) {
        fprintf(stderr, "arkrelay-worker: ARK_API_KEY is not set (environment, .env, or scripts/setup_env.sh); "
                        "to try without one, run arkrelay-ark-sim and set ARK_SIM_URL\n");
        return ERR_RANGE;
    }
    if (redis_address_parse(options->shared.redis_url, &worker->redis, &why)) {
        fprintf(stderr, "arkrelay-worker: REDIS_URL: %s\n", why);
        return ERR_RANGE;
    }
    worker->redis.ca_file = options->shared.redis_ca_file;
    return check_timeouts(options);
}

static void announce(const struct worker *worker)
{
    const struct worker_options *options = &worker->options;
    char redis[128];

    redis_address_text(&worker->redis, redis, sizeof(redis));
    if (!*options->ark_api_key)
        log_warn("worker", "SIMULATION: ARK_API_KEY is not set, pictures come from a simulator and cost nothing",
                 "ark=%s", options->ark_sim_url);
    if (!ark_model_find(options->ark_model)->listed)
        log_warn("worker", "ARK_MODEL is not a listed model, only the plainest fields are sent", "model=%s",
                 options->ark_model);
    log_info("worker", "starting", "version=%s name=%s redis=%s ark=%s model=%s concurrency=%lld lease_ms=%lld",
             ARKRELAY_VERSION, worker->name, redis,
             *options->ark_api_key ? options->ark_base_url : options->ark_sim_url, options->ark_model,
             (long long)options->concurrency, (long long)options->lease_ms);
}

static int create_parts(struct worker *worker)
{
    const char *why = "out of memory";

    worker->metrics = metrics_create(&worker_metric_table);
    metrics_set(worker->metrics, SAMPLE(METRIC_WORKER_SLOTS), worker->options.concurrency);
    metrics_set(worker->metrics, SAMPLE(METRIC_IMAGES_LIMIT), worker->options.ark_images_per_minute);
    worker->loop = loop_create();
    if (!worker->metrics || !worker->loop || loop_on_signals(worker->loop, on_drain, on_stop, worker))
        goto failed;
    worker->runner = runner_create(&(struct runner_config){.loop = worker->loop,
                                                           .options = &worker->options,
                                                           .redis = &worker->redis,
                                                           .name = worker->name,
                                                           .metrics = worker->metrics,
                                                           .on_drained = on_drained,
                                                           .on_unfit = on_unfit,
                                                           .arg = worker});
    if (!worker->runner)
        goto failed;
    if (strcmp(worker->options.listen, "off") != 0) {
        worker->health =
            health_create(worker->loop,
                          &(struct health_config){
                              .listen = worker->options.listen, .runner = worker->runner, .metrics = worker->metrics},
                          &why);
        if (!worker->health)
            goto failed;
    }
    return 0;
failed:
    log_error("worker", "cannot start", "listen=%s error=\"%s\"", worker->options.listen, why);
    return ERR_SYSTEM;
}

static void destroy_parts(struct worker *worker)
{
    notify_destroy(worker->notify);
    health_destroy(worker->health);
    runner_destroy(worker->runner);
    loop_destroy(worker->loop);
    metrics_destroy(worker->metrics);
}

static int run(struct worker *worker)
{
    int err;

    if (check_options(worker))
        return OPTIONS_EXIT_BAD;
    log_setup((enum log_level)worker->options.shared.log_level, (enum log_format)worker->options.shared.log_format);
    if (!worker->options.shared.core_dumps)
        core_dump_forbid();
    presence_name(worker->name, worker->options.name);
    announce(worker);
    err = create_parts(worker);
    if (!err) {
        notify_started(worker);
        loop_run(worker->loop);
        log_info("worker", "stopped", "jobs=%d", runner_jobs(worker->runner));
    }
    destroy_parts(worker);
    if (worker->unfit)
        return OPTIONS_EXIT_BAD;
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int probe(const struct worker *worker)
{
    return http_probe_main("arkrelay-worker", worker->options.listen, PROBE_PLAIN, "/readyz");
}

int main(int argc, char **argv)
{
    struct worker worker = {0};
    int code;

    switch (options_load(&worker_option_table, argc, argv, &worker.options)) {
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
    code = worker.options.shared.healthcheck ? probe(&worker) : run(&worker);
    redis_address_deinit(&worker.redis);
    options_deinit(&worker_option_table, &worker.options);
    curl_global_cleanup();
    return code;
}
