#include "worker/worker.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_file.h"
#include "common/ops/presence.h"
#include "common/ops/shared_metrics.h"
#include "common/redis/client.h"
#include "common/task/audit.h"
#include "common/task/keys.h"
#include "common/task/schema.h"
#include "common/task/settler.h"
#include "common/task/storage_check.h"
#include "worker/account/governor.h"
#include "worker/account/probe.h"
#include "worker/ark_client.h"
#include "worker/description.h"
#include "worker/job/input_budget.h"
#include "worker/job/job.h"
#include "worker/job/plan_cache.h"
#include "worker/metrics/metrics.h"
#include "worker/outbox_role.h"
#include "worker/queue/claim.h"
#include "worker/queue/durability.h"
#include "worker/queue/lease.h"
#include "worker/queue/reaper.h"
#include "worker/worker_storage.h"

enum {
    PARTITION = 0,
    GOVERN_AGAIN_MS = 1000,
    REDIS_OUTPUT_MAX = 256 << 20,
};

/* The maximum is well below the 5 s that REAP waits after an outage (see reaper.h). */
static const struct backoff reconnect = {.base_ms = 100, .max_ms = 2000};

TAILQ_HEAD(job_list, job);

struct worker {
    struct worker_config config;
    struct redis *commands, *waiter;
    struct redis *paid; /* for BEGIN if it must be confirmed, else NULL */
    struct durability *durability;
    struct governor *governor;
    struct audit *audit;
    struct ark_client ark;
    struct probe *probe;
    struct lease_keeper *leases;
    struct claim *claim;
    struct reaper *reaper;
    struct settler *settler;
    struct presence *presence;

    struct worker_storage storage;
    struct outbox_role *outbox; /* NULL: this worker has no such role */
    bool outbox_idle;           /* it has stopped */

    struct catalogue *catalogue; /* a reference, borrowed by `context` */
    struct plan_cache plans;
    struct input_budget inputs;
    struct job_context context;
    struct job_list jobs;
    int job_count;
    bool draining, claim_stopped, drained;
    char prefix[KEYS_PREFIX_SIZE], wake[KEYS_PREFIX_SIZE];
};

static void worker_on_left(void *arg)
{
    struct worker *worker = arg;

    worker->config.on_drained(worker->config.arg);
}

/* Without Redis, permits and leases expire by themselves. */
static bool has_left_redis(const struct worker *worker)
{
    return !redis_is_ready(worker->commands) ||
           (worker->claim_stopped && governor_is_idle(worker->governor) && settler_is_idle(worker->settler));
}

static void check_drained(struct worker *worker)
{
    if (!worker->draining || worker->drained || worker->job_count || !has_left_redis(worker) ||
        (!worker->outbox_idle && redis_is_ready(worker->commands)))
        return;
    worker->drained = true;
    presence_remove(worker->presence, worker_on_left, worker);
}

/* -- jobs */

static void worker_on_gone(struct job *job, void *arg)
{
    struct worker *worker = arg;

    TAILQ_REMOVE(&worker->jobs, job, link);
    worker->job_count--;
    job_destroy(job);
    if (!worker->draining)
        claim_more(worker->claim);
    check_drained(worker);
}

static void worker_on_job(const struct claimed_job *claimed, void *arg)
{
    struct worker *worker = arg;
    struct job *job = (worker->draining ? job_hand_back : job_start)(&worker->context, claimed);

    if (!job) {
        log_error("worker", "out of memory for a job, its lease will expire", "task=%s", claimed->id);
        return;
    }
    TAILQ_INSERT_TAIL(&worker->jobs, job, link);
    worker->job_count++;
}

static void worker_on_granted(int granted, int64_t wait_ms, void *arg)
{
    struct worker *worker = arg;

    claim_granted(worker->claim, granted, wait_ms);
}

static void worker_on_governor_idle(void *arg)
{
    check_drained(arg);
}

static void worker_on_settler_idle(void *arg)
{
    check_drained(arg);
}

static void worker_on_probed(const struct probe_outcome *outcome, void *arg)
{
    struct worker *worker = arg;

    governor_probed(worker->governor, outcome);
}

static void worker_on_probe(const char *model, void *arg)
{
    struct worker *worker = arg;

    probe_start(worker->probe, model);
}

static void worker_on_claim_stopped(void *arg)
{
    struct worker *worker = arg;

    worker->claim_stopped = true;
    check_drained(worker);
}

static int worker_room(void *arg)
{
    const struct worker *worker = arg;

    return worker->draining ? 0 : worker_slots(worker->config.options) - worker->job_count;
}

static void worker_on_outbox_idle(void *arg)
{
    struct worker *worker = arg;

    worker->outbox_idle = true;
    check_drained(worker);
}

static struct job *job_of(struct lease_entry *entry)
{
    return container_of(entry, struct job, lease);
}

static void worker_on_lease_lost(struct lease_entry *entry, void *arg)
{
    (void)arg;
    job_lose(job_of(entry));
}

static void worker_on_lease_cancelled(struct lease_entry *entry, void *arg)
{
    (void)arg;
    job_cancel(job_of(entry));
}

/* -- Redis */

static void worker_on_ready(void *arg)
{
    struct worker *worker = arg;
    struct job *job;

    presence_write(worker->presence);
    lease_renew_now(worker->leases);
    TAILQ_FOREACH (job, &worker->jobs, link)
        job_resume(job);
    governor_resume(worker->governor);
    claim_more(worker->claim);
    storage_check_resume(worker->storage.check);
    outbox_role_resume(worker->outbox);
}

static void worker_on_unfit(const char *why, void *arg)
{
    const struct worker *worker = arg;

    if (worker->config.on_unfit)
        worker->config.on_unfit(why, worker->config.arg);
}

static void worker_on_commands_disconnected(void *arg)
{
    check_drained(arg);
}

/* Resends the BEGINs that were lost with this connection. */
static void worker_on_paid_ready(void *arg)
{
    struct worker *worker = arg;
    struct job *job;

    TAILQ_FOREACH (job, &worker->jobs, link)
        job_resume(job);
}

static void worker_on_waiter_ready(void *arg)
{
    struct worker *worker = arg;

    claim_more(worker->claim);
}

static struct redis *connect_redis(struct worker *worker, const char *name, struct redis_events events)
{
    const struct redis_config config = {
        .address = worker->config.redis,
        .name = name,
        .connect_timeout_ms = worker->config.options->shared.redis_timeout_ms,
        .command_timeout_ms = worker->config.options->shared.redis_timeout_ms,
        .reconnect = reconnect,
        .output_max = REDIS_OUTPUT_MAX,
        .observer = shared_metrics_redis_observer(worker->config.metrics),
        .requirements = events.on_misconfigured ? &schema_requirements : NULL,
        .events = events,
        .arg = worker,
    };

    return redis_create(worker->config.loop, &config);
}

static void worker_on_describe(struct presence_entry *entry, void *arg)
{
    const struct worker *worker = arg;

    worker_describe(entry, &(struct worker_facts){.options = worker->config.options,
                                                  .is_draining = worker->draining,
                                                  .busy = worker->job_count,
                                                  .catalogue = catalogue_version(worker->catalogue),
                                                  .outbox = worker->outbox,
                                                  .metrics = worker->config.metrics});
}

/* -- create and destroy */

static void set_context(struct worker *worker)
{
    const struct worker_options *options = worker->config.options;
    const struct backoff backoff = {.base_ms = options->backoff_base_ms, .max_ms = options->backoff_max_ms};

    worker->context = (struct job_context){
        .loop = worker->config.loop,
        .redis = worker->commands,
        .paid = worker->paid ? worker->paid : worker->commands,
        .durability = worker->durability,
        .governor = worker->governor,
        .metrics = worker->config.metrics,
        .leases = worker->leases,
        .settler = worker->settler,
        .prefix = worker->prefix,
        .lease_ms = options->lease_ms,
        .max_attempts = (int)options->max_attempts,
        .backoff = backoff,
        .pictures = {.is_on = *options->storage.place,
                     .public_url = options->public_url,
                     .replaces_url = options->storage_replace_url,
                     .retention_ms = options->storage_retention_ms},
        .plans = &worker->plans,
        .storage = worker->storage.location.storage,
        .storage_check = worker->storage.check,
        .inputs = &worker->inputs,
        .catalogue = worker->catalogue,
        .defaults = &options->request,
        .ark = {.stream = (enum ark_stream_mode)options->ark_stream,
                     .format = (enum ark_response_format)options->ark_response_format},
        .endpoint = worker->ark.endpoint,
        .ark_first_byte_ms = options->ark_first_byte_timeout_ms,
        .ark_timeout_ms = options->ark_timeout_ms,
        .ark_timeout_per_image_ms = options->ark_timeout_per_image_ms,
        .on_gone = worker_on_gone,
        .arg = worker,
    };
}

static bool create_connections(struct worker *worker)
{
    worker->commands = connect_redis(worker, "arkrelay-worker:commands",
                                     (struct redis_events){.on_ready = worker_on_ready,
                                                           .on_disconnected = worker_on_commands_disconnected,
                                                           .on_misconfigured = worker_on_unfit});
    worker->waiter =
        connect_redis(worker, "arkrelay-worker:wait", (struct redis_events){.on_ready = worker_on_waiter_ready});
    return worker->commands && worker->waiter;
}

/* BEGIN gets a separate connection: waiting for the confirmation blocks it. */
static bool create_durability(struct worker *worker)
{
    const struct worker_options *options = worker->config.options;

    if (options->durability == DURABILITY_NONE)
        return true;
    worker->paid =
        connect_redis(worker, "arkrelay-worker:paid", (struct redis_events){.on_ready = worker_on_paid_ready});
    if (worker->paid)
        worker->durability =
            durability_create(worker->paid, (enum durability_level)options->durability, options->durability_timeout_ms);
    return worker->durability;
}

static bool create_ark_client(struct worker *worker)
{
    if (!ark_client_open(&worker->ark, worker->config.loop, worker->config.options))
        return false;
    worker->probe = probe_create(
        &(struct probe_setup){.endpoint = worker->ark.endpoint, .on_done = worker_on_probed, .arg = worker});
    return worker->probe;
}

static bool create_governor(struct worker *worker)
{
    const struct worker_options *options = worker->config.options;

    worker->governor =
        governor_create(&(struct governor_config){.loop = worker->config.loop,
                                                  .redis = worker->commands,
                                                  .worker = worker->config.name,
                                                  .ttl_ms = options->lease_ms,
                                                  .again_ms = GOVERN_AGAIN_MS,
                                                  .calls_max = (int)options->ark_calls_max,
                                                  .images_per_minute = (int)options->ark_images_per_minute,
                                                  .images_per_call = (int)options->request.max_images,
                                                  .model = options->request.model,
                                                  .on_granted = worker_on_granted,
                                                  .on_idle = worker_on_governor_idle,
                                                  .on_probe = worker_on_probe,
                                                  .on_confirmed = job_confirm,
                                                  .arg = worker});
    return worker->governor;
}

static bool create_queue(struct worker *worker)
{
    const struct worker_options *options = worker->config.options;
    const struct lease_events events = {.on_cancelled = worker_on_lease_cancelled,
                                        .on_lease_lost = worker_on_lease_lost};

    worker->leases = lease_keeper_create(&(struct lease_config){.loop = worker->config.loop,
                                                                .redis = worker->commands,
                                                                .prefix = worker->prefix,
                                                                .lease_ms = options->lease_ms,
                                                                .events = events,
                                                                .arg = worker});
    worker->claim = claim_create(&(struct claim_config){.loop = worker->config.loop,
                                                        .redis = worker->commands,
                                                        .waiter = worker->waiter,
                                                        .governor = worker->governor,
                                                        .prefix = worker->prefix,
                                                        .wake = worker->wake,
                                                        .worker = worker->config.name,
                                                        .model = options->request.model,
                                                        .lease_ms = options->lease_ms,
                                                        .max_attempts = (int)options->max_attempts,
                                                        .room = worker_room,
                                                        .on_job = worker_on_job,
                                                        .on_stopped = worker_on_claim_stopped,
                                                        .arg = worker});
    worker->settler = settler_create(&(struct settler_config){.loop = worker->config.loop,
                                                              .redis = worker->commands,
                                                              .prefix = worker->prefix,
                                                              .on_idle = worker_on_settler_idle,
                                                              .arg = worker});
    if (!worker->settler)
        return false;
    worker->reaper = reaper_create(worker->config.loop, worker->commands, worker->prefix, worker->settler);
    return worker->leases && worker->claim && worker->reaper;
}

static bool create_ops(struct worker *worker)
{
    const struct worker_options *options = worker->config.options;

    worker->presence = presence_create(&(struct presence_config){.loop = worker->config.loop,
                                                                 .redis = worker->commands,
                                                                 .name = worker->config.name,
                                                                 .role = "worker",
                                                                 .interval_ms = options->shared.presence_ms,
                                                                 .describe = worker_on_describe,
                                                                 .arg = worker});
    worker->audit = audit_create(&(struct audit_config){.loop = worker->config.loop,
                                                        .redis = worker->commands,
                                                        .prefix = worker->prefix,
                                                        .process = worker->config.name,
                                                        .interval_ms = options->shared.audit_ms,
                                                        .settler = worker->settler});
    return worker->presence && worker->audit;
}

static bool create_outbox(struct worker *worker)
{
    if (!outbox_role_is_on(worker->config.options))
        return true;
    worker->outbox = outbox_role_create(&(struct outbox_role_config){.loop = worker->config.loop,
                                                                     .redis = worker->commands,
                                                                     .prefix = worker->prefix,
                                                                     .options = worker->config.options,
                                                                     .metrics = worker->config.metrics,
                                                                     .storage = &worker->storage,
                                                                     .on_idle = worker_on_outbox_idle,
                                                                     .arg = worker});
    return worker->outbox;
}

/* Each job has two timers: of its report and of its HTTP call. A copy and a webhook have two as well. */
static bool reserve_timers(struct worker *worker)
{
    const struct worker_options *options = worker->config.options;
    size_t concurrency = (size_t)(options->concurrency + options->outbox_concurrency +
                                  (*options->shared.webhook_secret ? options->webhook_concurrency : 0));

    return !loop_reserve_timers(worker->config.loop, 2 * concurrency + LOOP_TIMERS);
}

/* A part borrows only parts created before it, so a failure stops the sequence. worker_destroy accepts what is missing. */
static bool worker_create_parts(struct worker *worker)
{
    return reserve_timers(worker) && create_ark_client(worker) && create_connections(worker) &&
           create_governor(worker) && create_durability(worker) && create_queue(worker) && create_ops(worker) &&
           worker_storage_open(&worker->storage, worker->config.loop, worker->commands, worker->config.options) &&
           create_outbox(worker);
}

struct worker *worker_create(const struct worker_config *config)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return NULL;
    worker->config = *config;
    worker->catalogue = catalogue_file_take(config->models);
    TAILQ_INIT(&worker->jobs);
    keys_prefix(worker->prefix, PARTITION);
    keys_wake(worker->wake, PARTITION);
    if (!worker_create_parts(worker))
        return worker_destroy(worker);
    input_budget_init(&worker->inputs, config->options->input_memory);
    set_context(worker);
    return worker;
}

struct worker *worker_destroy(struct worker *worker)
{
    struct job *job;

    if (!worker)
        return NULL;
    while ((job = TAILQ_FIRST(&worker->jobs))) {
        TAILQ_REMOVE(&worker->jobs, job, link);
        job_destroy(job);
    }
    outbox_role_destroy(worker->outbox);
    worker_storage_close(&worker->storage);
    presence_destroy(worker->presence);
    audit_destroy(worker->audit);
    reaper_destroy(worker->reaper);
    settler_destroy(worker->settler);
    claim_destroy(worker->claim);
    lease_keeper_destroy(worker->leases);
    durability_destroy(worker->durability);
    probe_destroy(worker->probe);
    governor_destroy(worker->governor);
    redis_destroy(worker->paid);
    redis_destroy(worker->waiter);
    redis_destroy(worker->commands);
    ark_client_close(&worker->ark);
    plan_cache_deinit(&worker->plans);
    catalogue_unref(worker->catalogue);
    free(worker);
    return NULL;
}

void worker_reload(struct worker *worker)
{
    catalogue_unref(worker->catalogue);
    worker->catalogue = catalogue_file_take(worker->config.models);
    worker->context.catalogue = worker->catalogue;
}

void worker_drain(struct worker *worker)
{
    if (worker->draining)
        return;
    worker->draining = true;
    worker->claim_stopped = claim_stop(worker->claim);
    worker->outbox_idle = outbox_role_stop(worker->outbox);
    log_info("worker", "draining: takes no new jobs", "jobs=%d", worker->job_count);
    check_drained(worker);
}

bool worker_is_ready(const struct worker *worker)
{
    return !worker->draining && redis_is_ready(worker->commands);
}

bool worker_has_redis(const struct worker *worker)
{
    return redis_is_ready(worker->commands);
}

int worker_jobs(const struct worker *worker)
{
    return worker->job_count;
}

void worker_fill_metrics(const struct worker *worker, struct metrics *metrics)
{
    metrics_set(metrics, SAMPLE(METRIC_REDIS_UP), worker_has_redis(worker));
    metrics_set(metrics, SAMPLE(METRIC_WORKER_BUSY), worker->job_count);
    outbox_role_fill_metrics(worker->outbox, metrics);
}
