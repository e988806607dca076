#include "worker/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit.h"
#include "common/buf.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/presence.h"
#include "common/redis/client.h"
#include "worker/claim.h"
#include "worker/durable.h"
#include "worker/fetch.h"
#include "worker/governor.h"
#include "worker/job.h"
#include "worker/lease.h"
#include "worker/probe.h"
#include "worker/reaper.h"
#include "worker/worker_metrics.h"

enum {
    PARTITION = 0,
    GOVERN_AGAIN_MS = 1000,
    URL_SIZE = 1100,
    HEADER_SIZE = 4200,
    REDIS_OUTPUT_MAX = 256 << 20,
    ARK_MS_MAX = 512
};

/* Soon after a blip, and well below the reaper's hold after a long one. */
static const struct backoff reconnect = {.base_ms = 100, .max_ms = 2000};

TAILQ_HEAD(job_list, job);

struct runner {
    struct runner_config config;
    struct redis *commands, *waiter;
    struct redis *paid; /* for BEGIN where it must be confirmed, else NULL */
    struct durable *durable;
    struct governor *governor;
    struct audit *audit;
    struct fetch *fetch;
    struct probe *probe;
    struct lease_keeper *leases;
    struct claim *claim;
    struct reaper *reaper;
    struct presence *presence;
    struct job_context context;
    struct job_list jobs;
    int job_count;
    bool draining, claim_stopped, drained;
    char prefix[KEYS_PREFIX_SIZE], wake[KEYS_PREFIX_SIZE];
    char ark_url[URL_SIZE], authorization[HEADER_SIZE];
};

static void tell_drained(void *arg)
{
    struct runner *runner = arg;

    runner->config.on_drained(runner->config.arg);
}

/* Without Redis there is nothing to wait for but jobs: leases and permits lapse. */
static bool has_left_redis(const struct runner *runner)
{
    return !redis_is_ready(runner->commands) || (runner->claim_stopped && governor_is_settled(runner->governor));
}

static void check_drained(struct runner *runner)
{
    if (!runner->draining || runner->drained || runner->job_count || !has_left_redis(runner))
        return;
    runner->drained = true;
    presence_leave(runner->presence, tell_drained, runner);
}

/* -- jobs */

static void on_gone(struct job *job, void *arg)
{
    struct runner *runner = arg;

    TAILQ_REMOVE(&runner->jobs, job, link);
    runner->job_count--;
    job_destroy(job);
    if (!runner->draining)
        claim_more(runner->claim);
    check_drained(runner);
}

static void on_job(const struct claimed_job *claimed, void *arg)
{
    struct runner *runner = arg;
    struct job *job = (runner->draining ? job_hand_back : job_start)(&runner->context, claimed);

    if (!job) {
        log_error("runner", "out of memory, a job is left to its lease", "task=%s", claimed->id);
        return;
    }
    TAILQ_INSERT_TAIL(&runner->jobs, job, link);
    runner->job_count++;
}

static void on_granted(int granted, int64_t wait_ms, void *arg)
{
    struct runner *runner = arg;

    claim_granted(runner->claim, granted, wait_ms);
}

static void on_settled(void *arg)
{
    check_drained(arg);
}

static void on_probed(const struct probe_outcome *outcome, void *arg)
{
    struct runner *runner = arg;

    governor_probed(runner->governor, &(struct probe_report){.model = outcome->model,
                                                             .account_good = outcome->account_good,
                                                             .model_good = outcome->model_good,
                                                             .problem = outcome->problem,
                                                             .why = outcome->why});
}

static void on_probe(const char *model, void *arg)
{
    struct runner *runner = arg;

    probe_start(runner->probe, model);
}

static void on_claim_stopped(void *arg)
{
    struct runner *runner = arg;

    runner->claim_stopped = true;
    check_drained(runner);
}

static int room(void *arg)
{
    const struct runner *runner = arg;

    return runner->draining ? 0 : (int)runner->config.options->concurrency - runner->job_count;
}

static struct job *job_of(struct lease_entry *entry)
{
    return (struct job *)(void *)((char *)entry - offsetof(struct job, lease));
}

static void on_lease_lost(struct lease_entry *entry, void *arg)
{
    (void)arg;
    job_lose(job_of(entry));
}

static void on_lease_cancelled(struct lease_entry *entry, void *arg)
{
    (void)arg;
    job_cancel(job_of(entry));
}

/* -- Redis */

static void on_ready(void *arg)
{
    struct runner *runner = arg;
    struct job *job;

    presence_tell(runner->presence);
    lease_renew_now(runner->leases);
    TAILQ_FOREACH (job, &runner->jobs, link)
        job_resume(job);
    governor_resume(runner->governor);
    claim_more(runner->claim);
}

static void on_unfit(const char *why, void *arg)
{
    const struct runner *runner = arg;

    if (runner->config.on_unfit)
        runner->config.on_unfit(why, runner->config.arg);
}

static void on_commands_lost(void *arg)
{
    check_drained(arg);
}

/* BEGINs that were lost on this connection. */
static void on_paid_ready(void *arg)
{
    struct runner *runner = arg;
    struct job *job;

    TAILQ_FOREACH (job, &runner->jobs, link)
        job_resume(job);
}

static void on_waiter_ready(void *arg)
{
    struct runner *runner = arg;

    claim_more(runner->claim);
}

static struct redis *connect_redis(struct runner *runner, const char *name, struct redis_events events)
{
    const struct redis_config config = {
        .address = runner->config.redis,
        .name = name,
        .connect_timeout_ms = runner->config.options->shared.redis_timeout_ms,
        .command_timeout_ms = runner->config.options->shared.redis_timeout_ms,
        .reconnect = reconnect,
        .output_max = REDIS_OUTPUT_MAX,
        .metrics = runner->config.metrics,
        .events = events,
        .arg = runner,
    };

    return redis_create(runner->config.loop, &config);
}

/* -- what Redis hears of this worker */

/* "0,0,4,9,...": how many ARK calls took no longer than each bound of the histogram, and how many there were. */
static void say_ark_ms(struct presence_note *note, const struct metrics *metrics)
{
    struct buf counts;

    buf_init(&counts, ARK_MS_MAX);
    for (size_t i = 0; i <= worker_metric_table.rows[METRIC_ARK_SECONDS].bound_count; i++)
        buf_addf(&counts, i ? ",%lld" : "%lld", (long long)metrics_cumulative(&metrics, 1, METRIC_ARK_SECONDS, i));
    if (!buf_error(&counts))
        presence_say(note, "ark_ms", "%s", buf_text(&counts));
    buf_deinit(&counts);
}

static void describe(struct presence_note *note, void *arg)
{
    const struct runner *runner = arg;
    const struct metrics *metrics = runner->config.metrics;

    presence_say(note, "draining", "%d", runner->draining);
    presence_say(note, "slots", "%lld", (long long)runner->config.options->concurrency);
    presence_say(note, "busy", "%d", runner->job_count);
    presence_say(note, "images_per_minute", "%lld", (long long)runner->config.options->ark_images_per_minute);
    if (!metrics)
        return;
    presence_say(note, "images", "%lld", (long long)metrics_sum(&metrics, 1, SAMPLE(METRIC_IMAGES)));
    presence_say(note, "unknown", "%lld", (long long)metrics_sum(&metrics, 1, SAMPLE(METRIC_UNKNOWN_OUTCOMES)));
    say_ark_ms(note, metrics);
}

/* -- birth and death */

static struct ark_defaults ark_defaults(const struct worker_options *options)
{
    return (struct ark_defaults){
        .model = options->ark_model,
        .prompt = options->ark_prompt,
        .size = options->ark_size,
        .max_images = (int)options->ark_max_images,
        .watermark = options->ark_watermark,
        .stream = options->ark_stream,
        .response_format = options->ark_response_format,
        .output_format = options->ark_output_format,
        .optimize_prompt_mode = options->ark_optimize_prompt,
        .web_search = options->ark_web_search,
        .guidance_scale = (double)options->ark_guidance,
        .background = options->ark_background,
        .layer_decomposition = options->ark_layer_decomposition,
    };
}

/* A simulator stands in while there is no key; it takes any. */
static void set_endpoint(struct runner *runner)
{
    const struct worker_options *options = runner->config.options;
    bool simulated = !*options->ark_api_key;
    const char *base = simulated ? options->ark_sim_url : options->ark_base_url;
    size_t len = strlen(base);

    while (len && base[len - 1] == '/')
        len--;
    (void)snprintf(runner->ark_url, sizeof(runner->ark_url), "%.*s/images/generations", (int)len, base);
    (void)snprintf(runner->authorization, sizeof(runner->authorization), "Authorization: Bearer %s",
                   simulated ? "simulator" : options->ark_api_key);
}

static void set_context(struct runner *runner)
{
    const struct worker_options *options = runner->config.options;

    runner->context = (struct job_context){
        .loop = runner->config.loop,
        .redis = runner->commands,
        .paid = runner->paid ? runner->paid : runner->commands,
        .durable = runner->durable,
        .governor = runner->governor,
        .fetch = runner->fetch,
        .metrics = runner->config.metrics,
        .leases = runner->leases,
        .prefix = runner->prefix,
        .lease_ms = options->lease_ms,
        .max_attempts = (int)options->max_attempts,
        .backoff = {.base_ms = options->backoff_base_ms, .max_ms = options->backoff_max_ms},
        .ark = ark_defaults(options),
        .ark_url = runner->ark_url,
        .authorization = runner->authorization,
        .ark_key = options->ark_api_key,
        .ark_first_byte_ms = options->ark_first_byte_timeout_ms,
        .ark_timeout_ms = options->ark_timeout_ms,
        .ark_end_ms = options->ark_end_timeout_ms,
        .ark_timeout_per_image_ms = options->ark_timeout_per_image_ms,
        .ark_answer_max = (size_t)options->ark_answer_max,
        .on_gone = on_gone,
        .arg = runner,
    };
}

/* The connection of BEGIN is a part of its own, because waiting for the confirmation blocks it. */
static bool create_durable(struct runner *runner)
{
    const struct worker_options *options = runner->config.options;

    if (options->durability == DURABILITY_NONE)
        return true;
    runner->paid = connect_redis(runner, "arkrelay-worker:paid", (struct redis_events){.on_ready = on_paid_ready});
    if (runner->paid)
        runner->durable =
            durable_create(runner->paid, (enum durability)options->durability, options->durability_timeout_ms);
    return runner->durable;
}

static bool create_governor(struct runner *runner)
{
    const struct worker_options *options = runner->config.options;

    runner->governor =
        governor_create(&(struct governor_config){.loop = runner->config.loop,
                                                  .redis = runner->commands,
                                                  .worker = runner->config.name,
                                                  .ttl_ms = options->lease_ms,
                                                  .again_ms = GOVERN_AGAIN_MS,
                                                  .calls_max = (int)options->ark_calls_max,
                                                  .images_per_minute = (int)options->ark_images_per_minute,
                                                  .images_per_call = (int)options->ark_max_images,
                                                  .model = options->ark_model,
                                                  .on_granted = on_granted,
                                                  .on_settled = on_settled,
                                                  .on_probe = on_probe,
                                                  .on_judged = job_judge,
                                                  .arg = runner});
    return runner->governor;
}

static bool create_parts(struct runner *runner)
{
    const struct worker_options *options = runner->config.options;
    struct loop *loop = runner->config.loop;

    if (loop_reserve_timers(loop,
                            2 * (size_t)options->concurrency + LOOP_TIMERS)) /* each job has two: report's, fetch's */
        return false;
    runner->fetch = fetch_create(&(struct fetch_setup){.loop = loop,
                                                       .connect_ms = options->ark_connect_timeout_ms,
                                                       .ca_file = options->ark_ca_file,
                                                       .user_agent = "arkrelay-worker/" ARKRELAY_VERSION});
    runner->probe = probe_create(&(struct probe_setup){.fetch = runner->fetch,
                                                       .url = runner->ark_url,
                                                       .authorization = runner->authorization,
                                                       .secret = options->ark_api_key,
                                                       .on_done = on_probed,
                                                       .arg = runner});
    runner->commands =
        connect_redis(runner, "arkrelay-worker:commands",
                      (struct redis_events){.on_ready = on_ready, .on_lost = on_commands_lost, .on_unfit = on_unfit});
    runner->waiter = connect_redis(runner, "arkrelay-worker:wait", (struct redis_events){.on_ready = on_waiter_ready});
    if (!runner->probe || !runner->commands || !create_governor(runner) || !create_durable(runner))
        return false;
    runner->leases = lease_keeper_create(&(struct lease_config){
        .loop = loop,
        .redis = runner->commands,
        .prefix = runner->prefix,
        .lease_ms = options->lease_ms,
        .events = {.on_cancelled = on_lease_cancelled, .on_lost = on_lease_lost},
        .arg = runner
    });
    runner->claim = claim_create(&(struct claim_config){.loop = loop,
                                                        .redis = runner->commands,
                                                        .waiter = runner->waiter,
                                                        .governor = runner->governor,
                                                        .prefix = runner->prefix,
                                                        .wake = runner->wake,
                                                        .worker = runner->config.name,
                                                        .model = options->ark_model,
                                                        .lease_ms = options->lease_ms,
                                                        .max_attempts = (int)options->max_attempts,
                                                        .room = room,
                                                        .on_job = on_job,
                                                        .on_stopped = on_claim_stopped,
                                                        .arg = runner});
    runner->reaper = reaper_create(loop, runner->commands, runner->prefix);
    runner->presence = presence_create(&(struct presence_config){.loop = loop,
                                                                 .redis = runner->commands,
                                                                 .name = runner->config.name,
                                                                 .role = "worker",
                                                                 .interval_ms = options->shared.presence_ms,
                                                                 .describe = describe,
                                                                 .arg = runner});
    runner->audit = audit_create(&(struct audit_config){.loop = loop,
                                                        .redis = runner->commands,
                                                        .prefix = runner->prefix,
                                                        .process = runner->config.name,
                                                        .interval_ms = options->shared.audit_ms});
    return runner->fetch && runner->waiter && runner->leases && runner->claim && runner->reaper && runner->audit &&
           runner->presence;
}

struct runner *runner_create(const struct runner_config *config)
{
    struct runner *runner = calloc(1, sizeof(*runner));

    if (!runner)
        return NULL;
    runner->config = *config;
    TAILQ_INIT(&runner->jobs);
    keys_prefix(runner->prefix, PARTITION);
    keys_wake(runner->wake, PARTITION);
    set_endpoint(runner);
    if (!create_parts(runner))
        return runner_destroy(runner);
    set_context(runner);
    return runner;
}

struct runner *runner_destroy(struct runner *runner)
{
    struct job *job;

    if (!runner)
        return NULL;
    while ((job = TAILQ_FIRST(&runner->jobs))) {
        TAILQ_REMOVE(&runner->jobs, job, link);
        job_destroy(job);
    }
    presence_destroy(runner->presence);
    audit_destroy(runner->audit);
    reaper_destroy(runner->reaper);
    claim_destroy(runner->claim);
    lease_keeper_destroy(runner->leases);
    durable_destroy(runner->durable);
    probe_destroy(runner->probe);
    governor_destroy(runner->governor);
    redis_destroy(runner->paid);
    redis_destroy(runner->waiter);
    redis_destroy(runner->commands);
    fetch_destroy(runner->fetch);
    explicit_bzero(runner->authorization, sizeof(runner->authorization));
    free(runner);
    return NULL;
}

void runner_drain(struct runner *runner)
{
    if (runner->draining)
        return;
    runner->draining = true;
    runner->claim_stopped = claim_stop(runner->claim);
    log_info("runner", "draining: takes no new jobs", "jobs=%d", runner->job_count);
    check_drained(runner);
}

bool runner_is_ready(const struct runner *runner)
{
    return !runner->draining && redis_is_ready(runner->commands);
}

bool runner_has_redis(const struct runner *runner)
{
    return redis_is_ready(runner->commands);
}

int runner_jobs(const struct runner *runner)
{
    return runner->job_count;
}
