#include "worker/queue/claim.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/random.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"
#include "worker/account/governor.h"

enum {
    BATCH_MAX = 100,
    WAIT_MS = 2000,
    WAIT_MARGIN_MS = 3000,
    LIMITED_MS = 200, /* until the next CLAIM while tasks are blocked */
    NONCE_BYTES = 8,
    MODELS_MAX = 32,
    CLAIM_ARGS = 6,
    LIMIT_SIZE = DECIMAL_SIZE + sizeof(" failing"),
};

enum claim_state {
    CLAIM_IDLE,
    CLAIM_ASKING,
    CLAIM_CLAIMING,
    CLAIM_WAITING,
    CLAIM_RESTING,
    CLAIM_LIMITED,
    CLAIM_STOPPED,
    CLAIM_STATE_COUNT
};

struct claim {
    struct claim_config config;
    enum claim_state state;
    int granted;              /* permits of the CLAIM in flight: the most jobs that it may bring */
    struct script_run *run;   /* not NULL: CLAIMING, or STOPPED since */
    struct redis_call *wait;  /* not NULL: WAITING, or STOPPED since */
    struct loop_timer *timer; /* ends RESTING and LIMITED */
};

/* -- states */

#define STATE(name) (1u << CLAIM_##name)

/* clang-format off */
static const struct {
    const char *name;
    unsigned next; /* besides STOPPED, which every state may enter */
} states[CLAIM_STATE_COUNT] = {
    [CLAIM_IDLE]     = { "idle",     STATE(ASKING) | STATE(WAITING) | STATE(RESTING) | STATE(LIMITED) },
    [CLAIM_ASKING]   = { "asking",   STATE(CLAIMING) | STATE(IDLE) },
    [CLAIM_CLAIMING] = { "claiming", STATE(IDLE) },
    [CLAIM_WAITING]  = { "waiting",  STATE(IDLE) },
    [CLAIM_RESTING]  = { "resting",  STATE(IDLE) },
    [CLAIM_LIMITED]  = { "limited",  STATE(IDLE) },
    [CLAIM_STOPPED]  = { "stopped",  0 },
};
/* clang-format on */

/* The only function that changes the state. */
static void claim_enter(struct claim *claim, enum claim_state next)
{
    assert(next == CLAIM_STOPPED || states[claim->state].next & 1u << next);
    log_debug("claim", "enters a state", "from=%s to=%s", states[claim->state].name, states[next].name);
    claim->state = next;
}

/* What a state waited for has happened. No-op if the claim was stopped meanwhile. */
static void claim_end(struct claim *claim, enum claim_state ended)
{
    if (claim->state == ended)
        claim_enter(claim, CLAIM_IDLE);
}

/* -- the reply to CLAIM */

static int text_as_int(const redisReply *reply, size_t i)
{
    int64_t value;

    return script_int(reply, i, &value) ? 0 : (int)value;
}

/* {id, fence, attempt, request, paid_calls, max_paid_calls, epoch, trace, deferrals, plan} */
static bool read_job(const redisReply *reply, struct claimed_job *job)
{
    job->id = script_text(reply, 0, NULL);
    job->fence = script_text(reply, 1, NULL);
    job->attempt = text_as_int(reply, 2);
    job->request = script_text(reply, 3, &job->request_len);
    job->max_paid_calls = text_as_int(reply, 5);
    if (script_int(reply, 6, &job->epoch_ms))
        job->epoch_ms = 0;
    job->trace = script_text(reply, 7, NULL);
    job->deferrals = text_as_int(reply, 8);
    job->plan = script_text(reply, 9, &job->plan_len);
    return job->id && job->fence && job->trace && job->plan;
}

/* The first elements after next_ms are jobs. Returns their number. */
static int deliver_jobs(struct claim *claim, const redisReply *reply)
{
    int jobs = 0;

    for (size_t i = 1; i < reply->elements && script_array(reply, i); i++) {
        struct claimed_job job;

        bool readable = read_job(reply->element[i], &job);

        if (!readable)
            log_error("claim", "CLAIM returned an unreadable job, its lease will expire", "");
        if (readable)
            claim->config.on_job(&job, claim->config.arg);
        else
            governor_return(claim->config.governor, 1);
        jobs++;
    }
    return jobs;
}

/* The elements after the jobs are the models whose tasks are blocked. False: none. */
static bool note_blocked(struct claim *claim, const redisReply *reply, int jobs)
{
    bool blocked = false;
    const char *model;

    for (size_t i = 1 + (size_t)jobs; i < reply->elements; i++)
        if ((model = script_text(reply, i, NULL))) {
            governor_want(claim->config.governor, model);
            blocked = true;
        }
    return blocked;
}

static void start_claim(struct claim *claim);
static void start_wait(struct claim *claim, int64_t next_ms);

static void claim_log_failure(const char *what, const redisReply *reply)
{
    char why[256];

    log_warn("claim", what, "error=%s", log_quote(why, sizeof(why), reply->str ? reply->str : "unexpected answer"));
}

/* No-op in every state but IDLE: on_job may have stopped the claim, and a claim that is stopped must not start again. */
static void pause_claims(struct claim *claim, enum claim_state state, int64_t wait_ms)
{
    if (claim->state != CLAIM_IDLE)
        return;
    claim_enter(claim, state);
    loop_timer_start(claim->timer, wait_ms);
}

static void rest(struct claim *claim, int64_t wait_ms)
{
    pause_claims(claim, CLAIM_RESTING, wait_ms);
}

/* A command could not be sent. If not connected, claim_more follows (see claim.h). Else there was no memory. */
static void rest_if_connected(struct claim *claim, const struct redis *redis)
{
    if (redis_is_ready(redis))
        rest(claim, WAIT_MS);
}

static void claim_on_rested(void *arg)
{
    struct claim *claim = arg;

    claim_end(claim, CLAIM_RESTING);
    claim_end(claim, CLAIM_LIMITED);
    start_claim(claim);
}

/* Reads the reply to CLAIM and enters the next state. Returns the number of jobs.
 *
 * Starting the next CLAIM from here is safe although permits of this one are still to be returned: start_claim only asks the governor,
 * which answers later. */
static int read_reply(struct claim *claim, const redisReply *reply)
{
    int64_t next_ms;
    bool blocked;
    int jobs;

    if (reply->type != REDIS_REPLY_ARRAY || script_int(reply, 0, &next_ms)) {
        claim_log_failure("CLAIM failed, trying again", reply);
        rest(claim, WAIT_MS);
        return 0;
    }
    jobs = deliver_jobs(claim, reply);
    blocked = note_blocked(claim, reply, jobs);
    if (jobs >= claim->granted)
        start_claim(claim);
    else if (blocked)
        pause_claims(claim, CLAIM_LIMITED, next_ms >= 0 && next_ms < LIMITED_MS ? next_ms + 1 : LIMITED_MS);
    else
        start_wait(claim, next_ms);
    return jobs;
}

/* Returns the permits for which there was no job, and the right to a trial call if no job took it. */
static void return_permits(struct claim *claim, int permits)
{
    governor_claimed(claim->config.governor);
    governor_return(claim->config.governor, permits);
}

static void claim_on_claimed(const redisReply *reply, int err, void *arg)
{
    struct claim *claim = arg;
    int granted = claim->granted, jobs;

    claim->run = NULL;
    claim_end(claim, CLAIM_CLAIMING);
    jobs = err ? 0 : read_reply(claim, reply);
    return_permits(claim, granted - jobs);
    if (err)
        rest_if_connected(claim, claim->config.redis);
    if (claim->state == CLAIM_STOPPED)
        claim->config.on_stopped(claim->config.arg);
}

struct claim_text {
    struct script_arg args[CLAIM_ARGS + 2 * MODELS_MAX];
    size_t count;
    char lease[DECIMAL_SIZE], most[DECIMAL_SIZE], nonce[2 * NONCE_BYTES + 1], max_attempts[DECIMAL_SIZE];
    char limits[MODELS_MAX][LIMIT_SIZE];
};

static void add_claim_text(struct claim_text *text, const char *value)
{
    text->args[text->count++] = SCRIPT_TEXT(value);
}

static void write_limit(char text[LIMIT_SIZE], const struct model_limit *limit)
{
    if (limit->trial)
        (void)snprintf(text, LIMIT_SIZE, "trial");
    else
        (void)snprintf(text, LIMIT_SIZE, "%d%s", limit->calls, limit->failing ? " failing" : "");
}

/* Leaves out a model that may begin at least as many calls as there are permits: its limit has no effect. */
static void add_models(struct claim_text *text, const struct claim *claim)
{
    struct model_limit limits[MODELS_MAX];
    int models = governor_limits(claim->config.governor, limits, MODELS_MAX);

    for (int i = 0; i < models; i++) {
        if (limits[i].calls >= claim->granted && !limits[i].trial && !limits[i].failing)
            continue;
        write_limit(text->limits[i], &limits[i]);
        add_claim_text(text, limits[i].model);
        add_claim_text(text, text->limits[i]);
    }
}

static int send_claim(struct claim *claim)
{
    struct claim_text text = {.count = 0};
    struct script_call call = {.script = &scripts[SCRIPT_CLAIM], .prefix = claim->config.prefix, .args = text.args};

    (void)decimal_write(text.lease, claim->config.lease_ms);
    (void)decimal_write(text.most, claim->granted);
    (void)decimal_write(text.max_attempts, claim->config.max_attempts);
    random_hex(text.nonce, NONCE_BYTES);
    add_claim_text(&text, claim->config.worker);
    add_claim_text(&text, text.lease);
    add_claim_text(&text, text.most);
    add_claim_text(&text, text.nonce);
    add_claim_text(&text, text.max_attempts);
    add_claim_text(&text, claim->config.model);
    add_models(&text, claim);
    call.count = text.count;
    return script_run(claim->config.redis, &call, claim_on_claimed, claim, &claim->run);
}

/* Every path returns the permits that it does not use. return_permits also runs for 0 permits: the grant may have had the right to a
 * trial call, which the governor must not keep. */
void claim_granted(struct claim *claim, int permits, int64_t wait_ms)
{
    claim->granted = permits;
    if (claim->state == CLAIM_STOPPED) {
        return_permits(claim, permits);
        claim->config.on_stopped(claim->config.arg);
    } else if (permits && !send_claim(claim)) {
        claim_enter(claim, CLAIM_CLAIMING);
    } else {
        claim_end(claim, CLAIM_ASKING);
        return_permits(claim, permits);
        if (permits)
            rest_if_connected(claim, claim->config.redis);
        else
            pause_claims(claim, CLAIM_LIMITED, wait_ms);
    }
}

static void start_claim(struct claim *claim)
{
    int room = claim->config.room(claim->config.arg);

    if (claim->state != CLAIM_IDLE || room <= 0)
        return;
    claim_enter(claim, CLAIM_ASKING);
    governor_ask(claim->config.governor, room < BATCH_MAX ? room : BATCH_MAX);
}

/* Token or timeout: in both cases, CLAIM finds out whether there is a task. */
static void claim_on_woken(const redisReply *reply, int err, void *arg)
{
    struct claim *claim = arg;

    claim->wait = NULL;
    claim_end(claim, CLAIM_WAITING);
    if (err)
        return; /* not connected: claim_more follows (see claim.h) */
    if (reply->type == REDIS_REPLY_ERROR) {
        claim_log_failure("BLPOP failed, trying again", reply);
        rest(claim, WAIT_MS);
    } else {
        start_claim(claim);
    }
}

static void start_wait(struct claim *claim, int64_t next_ms)
{
    int64_t wait_ms = next_ms >= 0 && next_ms < WAIT_MS ? next_ms + 1 : WAIT_MS;
    char seconds[24];
    const char *argv[] = {"BLPOP", claim->config.wake, seconds};
    const size_t lengths[] = {strlen(argv[0]), strlen(argv[1]),
                              (size_t)snprintf(seconds, sizeof(seconds), "%.3f", (double)wait_ms / 1000)};
    const struct redis_command command = {
        .argc = 3, .argv = argv, .lengths = lengths, .timeout_ms = wait_ms + WAIT_MARGIN_MS};

    if (claim->state != CLAIM_IDLE)
        return;
    if (redis_send(claim->config.waiter, &command, claim_on_woken, claim, &claim->wait))
        rest_if_connected(claim, claim->config.waiter);
    else
        claim_enter(claim, CLAIM_WAITING);
}

struct claim *claim_create(const struct claim_config *config)
{
    struct claim *claim = calloc(1, sizeof(*claim));

    if (!claim)
        return NULL;
    claim->config = *config;
    claim->timer = loop_timer_create(config->loop, claim_on_rested, claim);
    return claim->timer ? claim : claim_destroy(claim);
}

struct claim *claim_destroy(struct claim *claim)
{
    if (!claim)
        return NULL;
    if (claim->run)
        script_cancel(claim->run);
    if (claim->wait)
        redis_cancel(claim->wait);
    loop_timer_destroy(claim->timer);
    free(claim);
    return NULL;
}

/* A job that ended may have freed a permit or a place in a model's limit, so LIMITED ends early. */
void claim_more(struct claim *claim)
{
    if (claim->state == CLAIM_LIMITED) {
        loop_timer_stop(claim->timer);
        claim_end(claim, CLAIM_LIMITED);
    }
    start_claim(claim);
}

/* Permits that were asked for may still be granted, and a CLAIM in flight may still bring jobs. BLPOP is of no importance: its answer
 * changes nothing in STOPPED. */
bool claim_stop(struct claim *claim)
{
    bool busy = claim->run || claim->state == CLAIM_ASKING;

    claim_enter(claim, CLAIM_STOPPED);
    return !busy;
}
