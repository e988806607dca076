#include "worker/account/governor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "worker/account/bookings.h"
#include "worker/account/govern.h"
#include "worker/account/probe.h"
#include "worker/account/scope.h"

enum { MERGE_MS = 50 }; /* reports within this time are merged */

struct governor {
    struct governor_config config;
    struct loop_timer *timer; /* the next report */
    struct script_run *run;
    struct scope_list scopes; /* the account first, then the default model */
    struct scope *account, *usual;
    int held;         /* permits */
    int want;         /* permits asked for; 0: no request is pending */
    bool asking;      /* the call in flight carries the request */
    bool changed;     /* there is something to report */
    bool whole_due;   /* the next report must name all permits: it is the first, or follows a lost answer */
    bool whole;       /* the report in flight names all permits */
    int64_t whole_ms; /* monotonic: when the last such report was accepted */
    int64_t second;   /* of the last grant */
    struct bookings bookings, sent; /* for the next report; in the report in flight */
    struct govern_report report;    /* being written */
};

static void governor_report(struct governor *governor);

/* While permits are held, a report is due even if nothing has changed: without one, the permits expire. */
static void governor_schedule(struct governor *governor)
{
    if (governor->changed)
        loop_timer_start(governor->timer, MERGE_MS);
    else if (governor->held)
        loop_timer_start(governor->timer, governor->config.ttl_ms / 3);
}

static void governor_on_timer(void *arg)
{
    governor_report(arg);
}

static void governor_change(struct governor *governor)
{
    if (governor->changed)
        return;
    governor->changed = true;
    if (!governor->run)
        governor_schedule(governor);
}

/* -- permits and bookings */

static void hold_permits(struct governor *governor, struct scope *scope, int permits)
{
    scope->held += permits;
    scope->held_told = false;
    governor->held += permits;
}

static void book_images(struct governor *governor, struct scope *scope, int64_t second, int64_t images)
{
    if (!images)
        return;
    bookings_add(&governor->bookings, scope, second, images);
    governor_change(governor);
}

void governor_return(struct governor *governor, int permits)
{
    if (!permits)
        return;
    hold_permits(governor, governor->usual, -permits);
    book_images(governor, governor->usual, governor->second, -(int64_t)permits * governor->config.images_per_call);
    governor_change(governor);
}

void governor_take(struct governor *governor, struct permit *permit)
{
    *permit = (struct permit){
        .scope = governor->usual, .second = governor->second, .images = governor->config.images_per_call};
    permit->scope->users++;
    permit->account_trial = governor->account->trial;
    governor->account->trial = false;
}

static void move_permit(struct governor *governor, struct permit *permit, struct scope *scope)
{
    hold_permits(governor, permit->scope, -1);
    book_images(governor, permit->scope, permit->second, -permit->images);
    permit->scope->users--;
    scope->users++;
    hold_permits(governor, scope, 1);
    book_images(governor, scope, permit->second, permit->images);
    permit->scope = scope;
}

void governor_book(struct governor *governor, struct permit *permit, const char *model, int images)
{
    struct scope *scope = scopes_find(&governor->scopes, model);

    if (scope && scope != permit->scope)
        move_permit(governor, permit, scope);
    book_images(governor, permit->scope, permit->second, images - permit->images);
    permit->images = images;
    if (!permit->known && permit->scope->trial) {
        permit->trial = true;
        permit->scope->trial = false;
    }
    permit->known = true;
}

/* The trial call showed neither that the scope works nor that it does not, or no job took it. */
static void note_unused(struct governor *governor, struct scope *scope)
{
    if (scope->news.probe == PROBE_NOTHING)
        scope->news.probe = PROBE_UNUSED;
    governor_change(governor);
}

void governor_claimed(struct governor *governor)
{
    struct scope *scope;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        if (scope->trial) {
            scope->trial = false;
            note_unused(governor, scope);
        }
}

void governor_want(struct governor *governor, const char *model)
{
    struct scope *scope;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        if (*scope->name && scope_is_blocked(scope) && strcmp(scope->name, model) == 0)
            scope->news.wanted = true;
}

static void forget_first(struct scope *scope, const struct permit *permit)
{
    if (scope->first == permit)
        scope->first = NULL;
}

void governor_release(struct governor *governor, struct permit *permit)
{
    if (!permit->scope)
        return;
    if (permit->trial)
        note_unused(governor, permit->scope);
    if (permit->account_trial)
        note_unused(governor, governor->account);
    forget_first(permit->scope, permit);
    forget_first(governor->account, permit);
    hold_permits(governor, permit->scope, -1);
    permit->scope->users--;
    *permit = (struct permit){0};
    governor_change(governor);
}

/* -- what calls and probes show */

/* An accepted call changes nothing for a free scope, so it is not reported. */
static void note_accepted(struct scope *scope, const struct call_note *call)
{
    struct scope_news *news = &scope->news;

    if (!news->closing)
        news->run = 0;
    if (scope->state == SCOPE_FREE)
        return;
    if (!news->ok || call->began_ms > news->began_ms)
        news->began_ms = call->began_ms;
    news->ok++;
    news->ok_ms += call->took_ms;
}

static void note_failure(struct scope *scope, const struct call_note *call, bool closing)
{
    struct scope_news *news = &scope->news;

    if (!news->ok && call->began_ms > news->began_ms)
        news->began_ms = call->began_ms;
    news->run++;
    news->problem = call->problem;
    news->until_ms = call->until_ms;
    (void)snprintf(news->why, sizeof(news->why), "%s", call->why ? call->why : "");
    if (!closing)
        return;
    news->closing = true;
    scope_set_state(scope, SCOPE_OPEN, clock_monotonic_ms()); /* known to this worker before Redis answers */
}

/* A call that began before the scope was closed does not show whether it still is. */
static bool is_stale(const struct scope *scope, const struct call_note *call)
{
    return scope_is_blocked(scope) && call->began_ms < scope->blocked_since_ms;
}

static void note_scope(struct scope *scope, const struct call_note *call, const struct account_effect *effect)
{
    if (is_stale(scope, call))
        return;
    if (effect->accepted) {
        note_accepted(scope, call);
    } else if (effect->failed) {
        note_failure(scope, call, effect->closing);
    } else if (effect->refused) {
        scope->news.refused++;
        if (call->pause_ms > scope->news.pause_ms)
            scope->news.pause_ms = call->pause_ms;
    }
}

bool governor_note(struct governor *governor, struct permit *permit, const struct call_note *call)
{
    const struct account_effect *effect = account_effect_of(call->news);
    struct scope *scope = effect->of_account ? governor->account : permit->scope;
    bool asks = call->asks_first && effect->closing && !scope_is_blocked(scope);

    if (call->news == NEWS_NONE)
        return false;
    note_scope(scope, call, effect);
    if (effect->accepted)
        note_scope(governor->account, call, effect);
    if (effect->accepted || effect->failed) {
        permit->trial = permit->trial && effect->of_account;
        permit->account_trial = permit->account_trial && !effect->accepted && !effect->of_account;
    }
    if (asks)
        scope->first = permit;
    governor_change(governor);
    if (effect->failed || effect->refused)
        governor_report(governor); /* at once: other workers keep starting calls */
    return asks;
}

void governor_probed(struct governor *governor, const struct probe_outcome *probed)
{
    struct scope *scope;

    TAILQ_FOREACH (scope, &governor->scopes, link) {
        bool is_account = !*scope->name;

        if (!scope->probe_asked || (!is_account && strcmp(scope->name, probed->model) != 0))
            continue;
        scope->probe_asked = false;
        scope->news.probe = (is_account ? probed->account_good : probed->model_good) ? PROBE_GOOD : PROBE_BAD;
        scope->news.problem = probed->problem;
        (void)snprintf(scope->news.why, sizeof(scope->news.why), "%s", probed->why);
    }
    governor_change(governor);
    governor_report(governor);
}

bool governor_is_blocked(const struct governor *governor, const char *model)
{
    const struct scope *scope;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        if ((!*scope->name || strcmp(scope->name, model) == 0) && scope_is_blocked(scope))
            return true;
    return false;
}

int governor_limits(const struct governor *governor, struct model_limit *out, int max)
{
    const struct scope *scope;
    int count = 0;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        if (*scope->name && scope->state != SCOPE_FREE && count < max)
            out[count++] = (struct model_limit){scope->name, scope->calls, scope->trial, scope->state == SCOPE_FAILING};
    return count;
}

/* -- the reply to GOVERN */

static void log_state(struct scope *scope, const char *code)
{
    bool is_blocked = scope_is_blocked(scope);

    if (is_blocked == scope->logged)
        return;
    scope->logged = is_blocked;
    if (is_blocked)
        log_warn("governor", "circuit breaker open, tasks wait", "scope=%s code=%s",
                 *scope->name ? scope->name : "account", code);
    else
        log_info("governor", "circuit breaker closed", "scope=%s", *scope->name ? scope->name : "account");
}

static void take_reply_row(struct governor *governor, const struct govern_row *row, int64_t now_ms)
{
    struct scope *scope = scopes_find(&governor->scopes, row->name);

    if (!scope)
        return;
    scope->listed = true;
    if (!scope->news.closing) /* otherwise Redis has not heard yet that the scope is closed */
        scope_set_state(scope, row->state, now_ms);
    scope->calls = row->calls;
    scope->trial = scope->state == SCOPE_HALF_OPEN && (row->calls > 0 || scope->trial); /* until a job takes it */
    scope->opened = row->opened;
    log_state(scope, row->code);
    if (!row->probe)
        return;
    scope->probe_asked = true;
    governor->config.on_probe(*scope->name ? scope->name : governor->config.model, governor->config.arg);
}

/* Tells the job that found the scope closed whether it was the first among all workers. */
static void tell_first(struct governor *governor, struct scope *scope)
{
    struct permit *permit = scope->first;

    if (!permit || !scope->sending || !scope->sent.closing)
        return;
    scope->first = NULL;
    governor->config.on_confirmed(permit, scope->listed && scope->opened);
}

static void free_unlisted(struct scope *scope, int64_t now_ms)
{
    if (scope->listed || scope->news.closing)
        return;
    scope->trial = false;
    scope_set_state(scope, SCOPE_FREE, now_ms);
    log_state(scope, "");
}

/* A scope that the answer does not name is free. */
static void take_scopes(struct governor *governor, const redisReply *reply)
{
    int64_t now_ms = clock_monotonic_ms();
    struct govern_row row;
    struct scope *scope;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        scope->listed = false;
    for (size_t i = 0; i < govern_reply_rows(reply); i++)
        if (govern_reply_row(reply, i, &row))
            take_reply_row(governor, &row, now_ms);
    TAILQ_FOREACH (scope, &governor->scopes, link) {
        free_unlisted(scope, now_ms);
        tell_first(governor, scope);
        scope_sent(scope);
    }
}

/* The report was lost, or could not be sent: merge it into the next one. */
static void governor_repeat(struct governor *governor)
{
    struct scope *scope;

    bookings_repeat(&governor->bookings, &governor->sent);
    TAILQ_FOREACH (scope, &governor->scopes, link)
        scope_repeat(scope);
    governor->changed = true;
    governor->whole_due = true;
}

static void governor_answer(struct governor *governor, int granted, int64_t wait_ms)
{
    governor->asking = false;
    governor->want = 0;
    governor->held += granted;
    governor->usual->held += granted; /* Redis has counted them already */
    governor->config.on_granted(granted, wait_ms, governor->config.arg);
}

static void governor_on_reply(const redisReply *reply, int err, void *arg)
{
    struct governor *governor = arg;
    bool asked = governor->asking;
    struct govern_reply answer;

    governor->run = NULL;
    if (err || govern_reply_read(reply, &answer)) {
        char why[256];

        if (!err)
            log_warn("governor", "GOVERN failed, trying again", "error=%s",
                     log_quote(why, sizeof(why), reply->str ? reply->str : "no numbers"));
        governor_repeat(governor);
        answer = (struct govern_reply){.wait_ms = governor->config.again_ms};
        loop_timer_start(governor->timer, governor->config.again_ms);
    } else {
        bookings_clear(&governor->sent);
        if (answer.granted)
            governor->second = answer.second;
        if (governor->whole)
            governor->whole_ms = clock_monotonic_ms();
        take_scopes(governor, reply);
        governor_schedule(governor);
    }
    if (asked)
        governor_answer(governor, answer.granted, answer.wait_ms);
    else if (governor->want)
        governor_report(governor);
    scopes_trim(&governor->scopes);
    if (governor_is_idle(governor))
        governor->config.on_idle(governor->config.arg);
}

/* -- the report */

static bool is_reported(const struct scope *scope, bool whole)
{
    return scope_has_news(scope) || (whole && scope->held);
}

static int count_reported(const struct governor *governor, bool whole)
{
    const struct scope *scope;
    int count = 0;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        count += is_reported(scope, whole);
    return count;
}

static enum govern_coverage choose_coverage(struct governor *governor)
{
    bool is_due = governor->whole_due || clock_monotonic_ms() - governor->whole_ms >= governor->config.ttl_ms / 4;

    governor->whole = is_due && count_reported(governor, true) <= GOVERN_SCOPES_MAX;
    if (!governor->whole)
        return GOVERN_CHANGES;
    return governor->whole_due ? GOVERN_ALL_AFTER_LOSS : GOVERN_ALL;
}

static void write_report(struct governor *governor)
{
    const struct governor_config *config = &governor->config;
    struct govern_head head = {
        .worker = config->worker,
        .ttl_ms = config->ttl_ms,
        .want = governor->want,
        .images_per_call = config->images_per_call,
        .model = config->model,
        .calls_max = config->calls_max,
        .images_per_minute = config->images_per_minute,
        .coverage = choose_coverage(governor),
    };
    struct scope *scope;
    int scopes = 0;

    governor->whole_due = governor->whole_due && !governor->whole;
    govern_report_begin(&governor->report, &head, &governor->sent);
    TAILQ_FOREACH (scope, &governor->scopes, link)
        if (is_reported(scope, governor->whole) && scopes++ < GOVERN_SCOPES_MAX) {
            scope_send(scope);
            govern_report_add(&governor->report, scope, clock_monotonic_ms());
        }
    if (scopes > GOVERN_SCOPES_MAX)
        governor->changed = true; /* the rest goes with the next report */
}

static int send_report(struct governor *governor)
{
    struct script_call call = {.script = &scripts[SCRIPT_GOVERN], .prefix = KEYS_ACCOUNT};

    write_report(governor);
    call.args = governor->report.args;
    call.count = governor->report.count;
    return script_run(governor->config.redis, &call, governor_on_reply, governor, &governor->run);
}

/* Sends everything pending in one call, unless one is in flight. If it cannot be sent, the timer tries again. */
static void governor_report(struct governor *governor)
{
    if (governor->run)
        return;
    loop_timer_stop(governor->timer);
    governor->changed = false;
    governor->asking = governor->want > 0;
    bookings_move(&governor->sent, &governor->bookings);
    if (send_report(governor)) {
        governor_repeat(governor);
        loop_timer_start(governor->timer, governor->config.again_ms);
    }
}

/* -- create and destroy */

struct governor *governor_create(const struct governor_config *config)
{
    struct governor *governor = calloc(1, sizeof(*governor));

    if (!governor)
        return NULL;
    governor->config = *config;
    governor->whole_due = true; /* Redis may have permits of an earlier worker of this name */
    TAILQ_INIT(&governor->scopes);
    governor->account = scopes_find(&governor->scopes, "");
    governor->usual = scopes_find(&governor->scopes, config->model);
    governor->timer = loop_timer_create(config->loop, governor_on_timer, governor);
    if (!governor->timer || !governor->account || !governor->usual)
        return governor_destroy(governor);
    governor->usual->users++; /* the default model is never trimmed */
    return governor;
}

struct governor *governor_destroy(struct governor *governor)
{
    if (!governor)
        return NULL;
    if (governor->run)
        script_cancel(governor->run);
    loop_timer_destroy(governor->timer);
    scopes_clear(&governor->scopes);
    free(governor);
    return NULL;
}

void governor_ask(struct governor *governor, int want)
{
    assert(!governor->want && want > 0);
    governor->want = want;
    governor_report(governor);
}

void governor_resume(struct governor *governor)
{
    if (governor->want || governor->changed)
        governor_report(governor);
}

bool governor_is_idle(const struct governor *governor)
{
    return !governor->run && !governor->changed && !governor->held && !governor->want;
}
