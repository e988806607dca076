#include "worker/account/governor.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/timeval.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "worker/account/scope.h"

static const char PREFIX[] = KEYS_ACCOUNT;

enum {
    MERGE_MS = 50, /* reports within this time are merged */
    ACCOUNT_ARGS = 9,
    BOOKING_ARGS = 3,
    SCOPE_ARGS = 14,
    BOOKINGS_MAX = 512, /* in one report; bookings of the same second and model are merged */
    SCOPES_SENT_MAX = 32,
    ARGS_MAX = ACCOUNT_ARGS + BOOKINGS_MAX * BOOKING_ARGS + SCOPES_SENT_MAX * SCOPE_ARGS,
    ANSWER_HEAD = 4,
    ANSWER_SCOPE = 7,
};

struct report_text {
    struct script_arg args[ARGS_MAX];
    char numbers[ARGS_MAX][DECIMAL_SIZE];
    size_t count;
};

/* A correction: images above or below what was booked for the calls of one model that began in one second. */
struct booking {
    struct scope *scope;
    int64_t second;
    int64_t images;
};

struct governor {
    struct governor_config config;
    struct event *timer; /* the next report */
    struct script_run *run;
    struct scope_list scopes; /* the account first, then the default model */
    struct scope *account, *usual;
    int held;         /* permits */
    int want;         /* permits asked for; 0: no request is pending */
    bool asking;      /* the call in flight carries the request */
    bool changed;     /* there is something to report */
    bool whole_due;   /* the next report must name all permits */
    bool after_loss;  /* the report in flight follows a lost answer, or is the first */
    bool whole;       /* the report in flight does */
    int64_t whole_ms; /* monotonic: when the last such report was accepted */
    int64_t second;   /* of the last grant */
    struct booking bookings[BOOKINGS_MAX], sent[BOOKINGS_MAX];
    int booking_count, sent_count;
    struct report_text text; /* of the report being written */
};

static void report(struct governor *governor);

static void report_within(struct governor *governor, int64_t wait_ms)
{
    struct timeval tv = timeval_of_ms(wait_ms);

    evtimer_add(governor->timer, &tv);
}

/* While permits are held, a report is due even if nothing has changed: without one, the permits expire. */
static void schedule(struct governor *governor)
{
    if (governor->changed)
        report_within(governor, MERGE_MS);
    else if (governor->held)
        report_within(governor, governor->config.ttl_ms / 3);
}

static void governor_on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    report(arg);
}

static void change(struct governor *governor)
{
    if (governor->changed)
        return;
    governor->changed = true;
    if (!governor->run)
        schedule(governor);
}

/* -- permits and bookings */

static void hold(struct governor *governor, struct scope *scope, int permits)
{
    scope->held += permits;
    scope->held_told = false;
    governor->held += permits;
}

/* If the table is full, the correction is dropped. The account then uses slightly less than its limit. */
static void book(struct governor *governor, struct scope *scope, int64_t second, int64_t images)
{
    struct booking *booking;

    if (!images)
        return;
    change(governor);
    for (int i = 0; i < governor->booking_count; i++) {
        booking = &governor->bookings[i];
        if (booking->scope == scope && booking->second == second) {
            booking->images += images;
            return;
        }
    }
    if (governor->booking_count == BOOKINGS_MAX)
        return;
    governor->bookings[governor->booking_count++] = (struct booking){scope, second, images};
    scope->users++;
}

static void drop_bookings(struct booking *bookings, int *count)
{
    for (int i = 0; i < *count; i++)
        bookings[i].scope->users--;
    *count = 0;
}

void governor_return(struct governor *governor, int permits)
{
    if (!permits)
        return;
    hold(governor, governor->usual, -permits);
    book(governor, governor->usual, governor->second, -(int64_t)permits * governor->config.images_per_call);
    change(governor);
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
    hold(governor, permit->scope, -1);
    book(governor, permit->scope, permit->second, -permit->images);
    permit->scope->users--;
    scope->users++;
    hold(governor, scope, 1);
    book(governor, scope, permit->second, permit->images);
    permit->scope = scope;
}

void governor_book(struct governor *governor, struct permit *permit, const char *model, int images)
{
    struct scope *scope = scopes_find(&governor->scopes, model);

    if (scope && scope != permit->scope)
        move_permit(governor, permit, scope);
    book(governor, permit->scope, permit->second, images - permit->images);
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
    change(governor);
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
    hold(governor, permit->scope, -1);
    permit->scope->users--;
    *permit = (struct permit){0};
    change(governor);
}

/* -- what calls and probes show */

/* An accepted call changes nothing for a free scope, so it is not reported. */
static void note_accepted(struct scope *scope, const struct call_report *call)
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

static void note_failure(struct scope *scope, const struct call_report *call, bool closing)
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
    scope_set_state(scope, SCOPE_OPEN, clock_monotonic_ms()); /* until Redis answers, this worker already knows */
}

/* A call that began before the scope was closed does not show whether it still is. */
static bool is_stale(const struct scope *scope, const struct call_report *call)
{
    return scope_is_blocked(scope) && call->began_ms < scope->blocked_since_ms;
}

static void note_scope(struct scope *scope, const struct call_report *call, const struct account_effect *effect)
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

bool governor_note(struct governor *governor, struct permit *permit, const struct call_report *call)
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
    change(governor);
    if (effect->failed || effect->refused)
        report(governor); /* at once: other workers keep starting calls */
    return asks;
}

void governor_probed(struct governor *governor, const struct probe_report *probed)
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
    change(governor);
    report(governor);
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

static void take_scope(struct governor *governor, const redisReply *reply, size_t at, int64_t now_ms)
{
    const char *name = script_text(reply, at, NULL), *state = script_text(reply, at + 1, NULL);
    const char *code = script_text(reply, at + 2, NULL);
    struct scope *scope = name ? scopes_find(&governor->scopes, name) : NULL;
    int64_t calls, probe, opened;

    if (!scope || !state || !code || script_int(reply, at + 3, &calls) || script_int(reply, at + 5, &probe) ||
        script_int(reply, at + 6, &opened))
        return;
    scope->listed = true;
    scope_set_state(scope, scope_state_of(state), now_ms);
    scope->calls = (int)calls;
    scope->trial = scope->state == SCOPE_HALF_OPEN && (calls > 0 || scope->trial); /* until a job takes it */
    scope->opened = opened;
    log_state(scope, code);
    if (!probe)
        return;
    scope->probe_asked = true;
    governor->config.on_probe(*scope->name ? scope->name : governor->config.model, governor->config.arg);
}

/* Tells the job that found the scope closed whether it was the first among all workers. */
static void judge_first(struct governor *governor, struct scope *scope)
{
    struct permit *permit = scope->first;

    if (!permit || !scope->sending || !scope->sent.closing)
        return;
    scope->first = NULL;
    governor->config.on_judged(permit, scope->listed && scope->opened);
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
    struct scope *scope;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        scope->listed = false;
    for (size_t at = ANSWER_HEAD; at + ANSWER_SCOPE <= reply->elements; at += ANSWER_SCOPE)
        take_scope(governor, reply, at, now_ms);
    TAILQ_FOREACH (scope, &governor->scopes, link) {
        free_unlisted(scope, now_ms);
        judge_first(governor, scope);
        scope_sent(scope);
    }
}

/* The report was lost, or could not be sent: merge it into the next one. GOVERN may have run, so negative corrections are not repeated:
 * giving back images twice would exceed the account's limit. Booking images twice only wastes some. */
static void take_back(struct governor *governor)
{
    struct scope *scope;

    for (int i = 0; i < governor->sent_count; i++)
        if (governor->sent[i].images > 0)
            book(governor, governor->sent[i].scope, governor->sent[i].second, governor->sent[i].images);
    drop_bookings(governor->sent, &governor->sent_count);
    TAILQ_FOREACH (scope, &governor->scopes, link)
        scope_take_back(scope);
    governor->changed = true;
    governor->whole_due = true;
}

static void answer(struct governor *governor, int granted, int64_t wait_ms)
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
    int64_t granted = 0, wait_ms = 0, second;

    governor->run = NULL;
    if (err || script_int(reply, 0, &granted) || script_int(reply, 1, &wait_ms) || script_int(reply, 3, &second)) {
        char why[256];

        if (!err)
            log_warn("governor", "GOVERN failed, trying again", "error=%s",
                     log_quote(why, sizeof(why), reply->str ? reply->str : "no numbers"));
        take_back(governor);
        granted = 0;
        wait_ms = governor->config.again_ms;
        report_within(governor, governor->config.again_ms);
    } else {
        drop_bookings(governor->sent, &governor->sent_count);
        if (granted)
            governor->second = second;
        if (governor->whole)
            governor->whole_ms = clock_monotonic_ms();
        take_scopes(governor, reply);
        schedule(governor);
    }
    if (asked)
        answer(governor, (int)granted, wait_ms);
    else if (governor->want)
        report(governor);
    scopes_trim(&governor->scopes);
    if (governor_is_settled(governor))
        governor->config.on_settled(governor->config.arg);
}

/* -- the report */

static void add_text(struct report_text *text, const char *value)
{
    text->args[text->count++] = SCRIPT_TEXT(value);
}

static void add_number(struct report_text *text, int64_t value)
{
    char *digits = text->numbers[text->count];

    (void)decimal_write(digits, value);
    add_text(text, digits);
}

static void add_head(struct report_text *text, const struct governor *governor)
{
    const struct governor_config *config = &governor->config;

    add_text(text, config->worker);
    add_number(text, config->ttl_ms);
    add_number(text, governor->want);
    add_number(text, config->images_per_call);
    add_text(text, config->model);
    add_number(text, config->calls_max);
    add_number(text, config->images_per_minute);
    add_text(text, !governor->whole ? "" : governor->after_loss ? "2" : "1");
    add_number(text, governor->sent_count);
    for (int i = 0; i < governor->sent_count; i++) {
        add_number(text, governor->sent[i].second);
        add_text(text, governor->sent[i].scope->name);
        add_number(text, governor->sent[i].images);
    }
}

static void add_scope(struct report_text *text, const struct scope *scope)
{
    static const char *const probes[] = {
        [PROBE_NOTHING] = "", [PROBE_UNUSED] = "none", [PROBE_GOOD] = "good", [PROBE_BAD] = "bad"};
    const struct scope_news *news = &scope->sent;
    bool failed = news->run || news->probe == PROBE_BAD;

    add_text(text, scope->name);
    add_number(text, scope->held);
    add_number(text, news->ok);
    add_number(text, news->ok_ms);
    add_number(text, news->refused);
    add_number(text, news->pause_ms);
    add_number(text, news->run);
    add_number(text, news->began_ms ? clock_monotonic_ms() - news->began_ms : 0);
    add_text(text, news->closing ? "1" : "");
    add_text(text, failed ? problem_code(news->problem) : "");
    add_text(text, failed ? news->why : "");
    add_number(text, news->until_ms);
    add_text(text, probes[news->probe]);
    add_text(text, news->wanted ? "1" : "");
}

static bool is_reported(const struct governor *governor, const struct scope *scope)
{
    return scope_has_news(scope) || (governor->whole && scope->held);
}

static int count_reported(const struct governor *governor)
{
    const struct scope *scope;
    int count = 0;

    TAILQ_FOREACH (scope, &governor->scopes, link)
        count += is_reported(governor, scope);
    return count;
}

static int send_report(struct governor *governor)
{
    struct report_text *text = &governor->text;
    struct script_call call = {.script = &scripts[SCRIPT_GOVERN], .prefix = PREFIX};
    struct scope *scope;
    int scopes = 0;

    text->count = 0;
    governor->whole = governor->whole_due || clock_monotonic_ms() - governor->whole_ms >= governor->config.ttl_ms / 4;
    governor->whole = governor->whole && count_reported(governor) <= SCOPES_SENT_MAX;
    governor->after_loss = governor->whole && governor->whole_due;
    governor->whole_due = governor->whole_due && !governor->whole;
    add_head(text, governor);
    TAILQ_FOREACH (scope, &governor->scopes, link)
        if (is_reported(governor, scope) && scopes++ < SCOPES_SENT_MAX) {
            scope_send(scope);
            add_scope(text, scope);
        }
    if (scopes > SCOPES_SENT_MAX)
        governor->changed = true; /* the rest goes with the next report */
    call.args = text->args;
    call.count = text->count;
    return script_run(governor->config.redis, &call, governor_on_reply, governor, &governor->run);
}

/* Sends everything pending in one call, unless one is in flight. If it cannot be sent, the timer tries again. */
static void report(struct governor *governor)
{
    if (governor->run)
        return;
    evtimer_del(governor->timer);
    governor->changed = false;
    governor->asking = governor->want > 0;
    memcpy(governor->sent, governor->bookings, sizeof(governor->sent[0]) * (size_t)governor->booking_count);
    governor->sent_count = governor->booking_count;
    governor->booking_count = 0;
    if (send_report(governor)) {
        take_back(governor);
        report_within(governor, governor->config.again_ms);
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
    governor->timer = evtimer_new(loop_base(config->loop), governor_on_timer, governor);
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
    if (governor->timer)
        event_free(governor->timer);
    scopes_clear(&governor->scopes);
    free(governor);
    return NULL;
}

void governor_ask(struct governor *governor, int want)
{
    assert(!governor->want && want > 0);
    governor->want = want;
    report(governor);
}

void governor_resume(struct governor *governor)
{
    if (governor->want || governor->changed)
        report(governor);
}

bool governor_is_settled(const struct governor *governor)
{
    return !governor->run && !governor->changed && !governor->held && !governor->want;
}
