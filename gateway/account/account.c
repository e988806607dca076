#include "gateway/account/account.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/problem.h"
#include "gateway/response/timestamp.h"

enum { NUMBER_MAX = 64 };

#define TIME_MAX 253402300799999.0 /* end of year 9999; larger numbers are ignored */

static const char *const state_names[BREAKER_STATES] = {
    [BREAKER_CLOSED] = "closed",
    [BREAKER_OPEN] = "open",
    [BREAKER_PROBING] = "probing",
    [BREAKER_HALF_OPEN] = "half_open",
};

const char *breaker_state_name(enum breaker_state state)
{
    return state_names[state];
}

/* -- reading: each row parses a value into a member */

struct value {
    const char *text;
    size_t len;
};

static double value_to_number(struct value value)
{
    char copy[NUMBER_MAX], *end;
    double number;

    if (!value.len || value.len >= sizeof(copy) || strspn(value.text, "-0123456789.") < value.len)
        return NAN;
    memcpy(copy, value.text, value.len);
    copy[value.len] = '\0';
    number = strtod(copy, &end);
    return *end || fabs(number) > TIME_MAX ? NAN : number;
}

static void take_double(void *member, size_t size, struct value value)
{
    (void)size;
    *(double *)member = value_to_number(value);
}

static void take_time(void *member, size_t size, struct value value)
{
    double number = value_to_number(value);

    (void)size;
    *(int64_t *)member = number > 0 ? (int64_t)number : 0;
}

/* Truncates. */
static void take_text(void *member, size_t size, struct value value)
{
    size_t len = value.len < size ? value.len : size - 1;

    memcpy(member, value.text, len);
    ((char *)member)[len] = '\0';
}

/* Codes are identifiers. Workers of a later version may use codes that this gateway does not know. */
static void take_code(void *member, size_t size, struct value value)
{
    if (value.len < size && strspn(value.text, "abcdefghijklmnopqrstuvwxyz_") >= value.len)
        take_text(member, size, value);
}

static void take_state(void *member, size_t size, struct value value)
{
    (void)size;
    for (int i = BREAKER_OPEN; i < BREAKER_STATES; i++)
        if (strlen(state_names[i]) == value.len && !memcmp(state_names[i], value.text, value.len))
            *(enum breaker_state *)member = (enum breaker_state)i;
}

struct row {
    const char *name;
    size_t at, size;
    void (*take)(void *member, size_t size, struct value value);
};

#define ROW(type, name, member, take)                                                                                  \
    {                                                                                                                  \
        name, offsetof(type, member), sizeof(((type *)0)->member), take                                                \
    }

static const struct row account_rows[] = {
    ROW(struct account, "calls", calls, take_double),
    ROW(struct account, "tokens", tokens, take_double),
    ROW(struct account, "limit", limit, take_double),
    ROW(struct account, "default_model", default_model, take_text),
};

static const struct row scope_rows[] = {
    ROW(struct account_scope, "state", state, take_state),
    ROW(struct account_scope, "code", code, take_code),
    ROW(struct account_scope, "why", why, take_text),
    ROW(struct account_scope, "since", since_ms, take_time),
    ROW(struct account_scope, "probe_at", probe_at_ms, take_time),
    ROW(struct account_scope, "paused_until", paused_until_ms, take_time),
    ROW(struct account_scope, "limit", limit, take_double),
    ROW(struct account_scope, "rate", rate, take_double),
};

static bool take_row(const struct row *rows, size_t count, void *object, const char *name, struct value value)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0) {
            rows[i].take((char *)object + rows[i].at, rows[i].size, value);
            return true;
        }
    return false;
}

static void clear_scope(struct account_scope *scope)
{
    *scope = (struct account_scope){.limit = NAN, .rate = NAN};
}

/* NULL: not a valid model name, or too many models. */
static struct account_scope *find_scope(struct account *account, struct value model)
{
    struct account_scope *scope = account->scopes;

    if (!model.len || model.len >= sizeof(scope->model))
        return NULL;
    for (size_t i = 1; i < account->count; i++)
        if (strlen(scope[i].model) == model.len && !memcmp(scope[i].model, model.text, model.len))
            return &scope[i];
    if (account->count == ARRAY_LENGTH(account->scopes))
        return NULL;
    scope = &account->scopes[account->count++];
    clear_scope(scope);
    take_text(scope->model, sizeof(scope->model), model);
    return scope;
}

/* name: "field" of the account, or "<model> <field>". */
static void account_take_field(struct account *account, const char *name, struct value value)
{
    const char *space = strrchr(name, ' ');
    struct account_scope *scope = account->scopes;

    if (!space && take_row(account_rows, ARRAY_LENGTH(account_rows), account, name, value))
        return;
    if (space)
        scope = find_scope(account, (struct value){name, (size_t)(space - name)});
    if (scope)
        (void)take_row(scope_rows, ARRAY_LENGTH(scope_rows), scope, space ? space + 1 : name, value);
}

void account_clear(struct account *account)
{
    account->calls = account->tokens = account->limit = NAN;
    account->default_model[0] = '\0';
    account->count = 1;
    clear_scope(account->scopes);
}

void account_read(struct account *account, const redisReply *reply)
{
    account_clear(account);
    if (!reply || reply->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *value = reply->element[i + 1];

        if (name->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING)
            account_take_field(account, name->str, (struct value){value->str, (size_t)value->len});
    }
}

/* -- what tasks wait for */

bool account_scope_holds(const struct account_scope *scope, int64_t now_ms)
{
    return scope->state != BREAKER_CLOSED || scope->paused_until_ms > now_ms;
}

const char *account_scope_code(const struct account_scope *scope)
{
    if (scope->state == BREAKER_CLOSED)
        return problem_code(PROBLEM_ARK_RATE_LIMITED);
    return *scope->code ? scope->code : problem_code(PROBLEM_ARK_UNREACHABLE);
}

bool account_names_models(const struct account *account)
{
    for (size_t i = 1; i < account->count; i++)
        if (account_scope_holds(&account->scopes[i], 0))
            return true;
    return false;
}

static bool concerns(const struct account_wait *wait, const struct account_scope *scope)
{
    const char *model = wait->model;

    if (!model || !*scope->model)
        return true;
    return strcmp(scope->model, *model ? model : wait->account->default_model) == 0;
}

const struct account_scope *account_wait_next(const struct account_wait *wait, const struct account_scope *previous)
{
    const struct account_scope *scope = previous ? previous + 1 : wait->account->scopes;

    for (; scope < wait->account->scopes + wait->account->count; scope++)
        if (concerns(wait, scope) && account_scope_holds(scope, wait->now_ms))
            return scope;
    return NULL;
}

/* FNV-1a */
static uint32_t mix(uint32_t sum, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * UINT32_C(16777619);
    return sum;
}

/* The end of a pause is not part of the hash: ARK may extend it with every response. */
uint32_t account_wait_digest(const struct account_wait *wait)
{
    const struct account_scope *scope = NULL;
    uint32_t sum = UINT32_C(2166136261);

    if (!account_wait_next(wait, NULL))
        return 0;
    while ((scope = account_wait_next(wait, scope))) {
        const char *code = account_scope_code(scope);
        int64_t since_ms = scope->state == BREAKER_CLOSED ? 0 : scope->since_ms;

        sum = mix(sum, scope->model, strlen(scope->model) + 1);
        sum = mix(sum, code, strlen(code) + 1);
        sum = mix(sum, &since_ms, sizeof(since_ms));
    }
    return sum ? sum : 1;
}

static void write_scope(struct buf *out, const struct account_scope *scope)
{
    buf_addf(out, "{\"code\":\"%s\"", account_scope_code(scope));
    if (*scope->model) {
        buf_add_text(out, ",\"model\":");
        buf_add_json(out, scope->model, strlen(scope->model));
    }
    if (scope->state == BREAKER_CLOSED)
        timestamp_add(out, "until", scope->paused_until_ms);
    else if (scope->since_ms)
        timestamp_add(out, "since", scope->since_ms);
    buf_add_char(out, '}');
}

void account_wait_write(struct buf *out, const struct account_wait *wait)
{
    const struct account_scope *scope = NULL;

    buf_add_char(out, '[');
    while ((scope = account_wait_next(wait, scope))) {
        if (scope != account_wait_next(wait, NULL))
            buf_add_char(out, ',');
        write_scope(out, scope);
    }
    buf_add_char(out, ']');
}
