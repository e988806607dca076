#include "worker/account/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scope *scopes_find(struct scope_list *list, const char *name)
{
    struct scope *scope;

    TAILQ_FOREACH (scope, list, link)
        if (strcmp(scope->name, name) == 0)
            return scope;
    scope = calloc(1, sizeof(*scope));
    if (!scope)
        return NULL;
    (void)snprintf(scope->name, sizeof(scope->name), "%s", name);
    scope->held_told = true;
    TAILQ_INSERT_TAIL(list, scope, link);
    return scope;
}

static bool is_needed(const struct scope *scope)
{
    return scope->users || scope->held || scope->state != SCOPE_FREE || scope_has_news(scope);
}

void scopes_trim(struct scope_list *list)
{
    struct scope *scope = TAILQ_FIRST(list), *next;

    for (scope = scope ? TAILQ_NEXT(scope, link) : NULL; scope; scope = next) {
        next = TAILQ_NEXT(scope, link);
        if (is_needed(scope))
            continue;
        TAILQ_REMOVE(list, scope, link);
        free(scope);
    }
}

void scopes_clear(struct scope_list *list)
{
    struct scope *scope;

    while ((scope = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, scope, link);
        free(scope);
    }
}

bool scope_is_blocked(const struct scope *scope)
{
    return scope->state == SCOPE_OPEN || scope->state == SCOPE_PROBING || scope->state == SCOPE_HALF_OPEN;
}

bool scope_has_news(const struct scope *scope)
{
    const struct scope_news *news = &scope->news;

    return !scope->held_told || news->ok || news->refused || news->run || news->pause_ms || news->wanted ||
           news->probe != PROBE_NOTHING;
}

void scope_set_state(struct scope *scope, enum scope_state state, int64_t now_ms)
{
    bool was_closed = scope_is_blocked(scope);

    scope->state = state;
    if (!was_closed && scope_is_blocked(scope))
        scope->blocked_since_ms = now_ms;
}

void scope_send(struct scope *scope)
{
    scope->sent = scope->news;
    scope->news = (struct scope_news){0};
    scope->held_told = true;
    scope->sending = true;
}

void scope_sent(struct scope *scope)
{
    scope->sending = false;
}

static void repeat_reason(struct scope_news *news, const struct scope_news *sent)
{
    news->problem = sent->problem;
    news->until_ms = sent->until_ms;
    memcpy(news->why, sent->why, sizeof(news->why));
}

/* If the script ran and only its answer was lost, Redis counts these calls twice, which is harmless. */
void scope_repeat(struct scope *scope)
{
    struct scope_news *news = &scope->news;
    const struct scope_news *sent = &scope->sent;
    bool accepted_since = news->ok > 0;

    if (!scope->sending)
        return;
    scope->sending = false;
    scope->held_told = false;
    news->ok += sent->ok;
    news->ok_ms += sent->ok_ms;
    news->refused += sent->refused;
    if (sent->pause_ms > news->pause_ms)
        news->pause_ms = sent->pause_ms;
    news->wanted = news->wanted || sent->wanted;
    if (!news->began_ms || (sent->ok && !accepted_since))
        news->began_ms = sent->began_ms;
    if (!news->run && news->probe != PROBE_BAD)
        repeat_reason(news, sent);
    if (news->probe == PROBE_NOTHING)
        news->probe = sent->probe;
    if (accepted_since)
        return;
    news->run += sent->run;
    news->closing = news->closing || sent->closing;
}

enum scope_state scope_state_of(const char *name)
{
    static const char *const names[SCOPE_STATES] = {[SCOPE_FAILING] = "failing",
                                                    [SCOPE_LIMITED] = "limited",
                                                    [SCOPE_OPEN] = "open",
                                                    [SCOPE_PROBING] = "probing",
                                                    [SCOPE_HALF_OPEN] = "half_open"};

    for (int state = SCOPE_FAILING; state < SCOPE_STATES; state++)
        if (strcmp(names[state], name) == 0)
            return (enum scope_state)state;
    return SCOPE_FREE;
}
