#include "common/task/settler.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"

enum {
    TOGETHER_MS = 20, /* debts of tasks that end within this time are moved by the same calls */
    RESERVATION_MAX = 64,
    BATCH = 100,
    DEBT_WRITTEN = 2, /* HELD has written the debt of a task that an older program has ended */
    PAGE_MAX = 512,   /* reservations of one answer of MONEY_AUDIT; of a small hash Redis returns all fields at once */
};

static const char BATCH_TEXT[] = "100", NONE_TEXT[] = "0", FIRST_PAGE[] = "0";

/* A list of reservations that outlives the reply it was read from. */
struct reservation_list {
    size_t count;
    char ids[PAGE_MAX][RESERVATION_MAX];
};

struct settler {
    struct settler_config config;
    struct loop_timer *timer; /* running: debts are moved soon */
    struct script_run *run;   /* one call at a time */
    bool wants_debts, wants_audit;
    bool wants_more;              /* debts were announced after the last DEBTS that reads was sent */
    bool is_charged;              /* the list has debts that CHARGE has taken, and that DEBTS must remove */
    char cursor[RESERVATION_MAX]; /* of MONEY_AUDIT */
    struct reservation_list list; /* of the call in flight */
};

static void settler_next(struct settler *settler);

/* -- calls */

static void settler_send(struct settler *settler, enum script_id script, const struct script_arg *args, size_t count,
                         redis_reply_fn *done)
{
    bool is_money = script == SCRIPT_CHARGE || script == SCRIPT_MONEY_AUDIT;
    const struct script_call call = {.script = &scripts[script],
                                     .prefix = is_money ? KEYS_MONEY : settler->config.prefix,
                                     .args = args,
                                     .count = count};

    if (script_run(settler->config.redis, &call, done, settler, &settler->run))
        settler->run = NULL; /* Redis is away; what is wanted waits for the next poke or audit */
}

/* The reply, or NULL after an error. */
static const redisReply *take_reply(struct settler *settler, enum script_id script, const redisReply *reply, int err)
{
    char why[256];

    settler->run = NULL;
    if (err)
        return NULL;
    if (script_answer(reply)[0])
        return reply;
    log_warn("settler", "Redis rejected a call, the next audit tries again", "script=%s error=%s", scripts[script].name,
             log_quote(why, sizeof(why), reply->str ? reply->str : "unexpected answer"));
    return NULL;
}

static void settler_give_up(struct settler *settler)
{
    settler->wants_debts = settler->wants_more = settler->wants_audit = false;
    settler_next(settler);
}

/* A reservation that does not fit is none of ours: it is left to the operator's eyes. */
static bool list_add(struct reservation_list *list, const redisReply *reply, size_t at)
{
    size_t len = 0;
    const char *id = script_text(reply, at, &len);

    if (!id || len >= RESERVATION_MAX || list->count == PAGE_MAX)
        return false;
    memcpy(list->ids[list->count], id, len);
    list->ids[list->count++][len] = '\0';
    return true;
}

/* -- debts */

static void ask_debts(struct settler *settler);

static void settler_on_charged(const redisReply *reply, int err, void *arg)
{
    struct settler *settler = arg;

    settler->is_charged = take_reply(settler, SCRIPT_CHARGE, reply, err);
    if (settler->is_charged)
        ask_debts(settler);
    else
        settler_give_up(settler);
}

/* The reply of DEBTS has reservation, debt ..., as CHARGE takes them. */
static void charge_debts(struct settler *settler, const redisReply *reply)
{
    struct script_arg args[2 * BATCH];
    size_t count = 0;

    settler->list.count = 0;
    for (size_t at = 1; at + 1 < reply->elements && count < ARRAY_LENGTH(args); at += 2) {
        size_t len = 0;
        const char *debt = script_text(reply, at + 1, &len);

        if (!debt || !list_add(&settler->list, reply, at))
            continue;
        args[count++] = SCRIPT_TEXT(settler->list.ids[settler->list.count - 1]);
        args[count++] = (struct script_arg){debt, len};
    }
    if (count) {
        settler_send(settler, SCRIPT_CHARGE, args, count, settler_on_charged);
        return;
    }
    settler->wants_debts = settler->wants_more;
    settler_next(settler);
}

static void settler_on_debts(const redisReply *reply, int err, void *arg)
{
    struct settler *settler = arg;
    const redisReply *answer = take_reply(settler, SCRIPT_DEBTS, reply, err);

    if (answer)
        charge_debts(settler, answer);
    else
        settler_give_up(settler);
}

static void ask_debts(struct settler *settler)
{
    /* Less than a batch was all. The process that ends a further task pokes its own settler. */
    bool were_all = settler->is_charged && settler->list.count < BATCH && !settler->wants_more;
    struct script_arg args[1 + BATCH] = {SCRIPT_TEXT(were_all ? NONE_TEXT : BATCH_TEXT)};
    size_t count = 1;

    for (size_t i = 0; settler->is_charged && i < settler->list.count && count < ARRAY_LENGTH(args); i++)
        args[count++] = SCRIPT_TEXT(settler->list.ids[i]);
    settler->is_charged = false;
    settler->wants_more &= were_all;
    settler_send(settler, SCRIPT_DEBTS, args, count, settler_on_debts);
}

/* -- reservations without a task */

static void ask_page(struct settler *settler);

static void page_is_done(struct settler *settler)
{
    if (strcmp(settler->cursor, FIRST_PAGE) != 0) {
        ask_page(settler);
        return;
    }
    settler->wants_audit = false;
    settler_next(settler);
}

static void settler_on_freed(const redisReply *reply, int err, void *arg)
{
    struct settler *settler = arg;

    if (take_reply(settler, SCRIPT_CHARGE, reply, err))
        page_is_done(settler);
    else
        settler_give_up(settler);
}

static void settler_on_held(const redisReply *reply, int err, void *arg)
{
    struct settler *settler = arg;
    const redisReply *answer = take_reply(settler, SCRIPT_HELD, reply, err);
    struct script_arg args[2 * PAGE_MAX];
    size_t count = 0;

    if (!answer) {
        settler_give_up(settler);
        return;
    }
    for (size_t i = 0; i < settler->list.count; i++) {
        int64_t is_held;

        if (script_int(answer, i + 1, &is_held))
            continue;
        if (is_held == DEBT_WRITTEN)
            settler->wants_debts = settler->wants_more = true;
        if (is_held)
            continue;
        args[count++] = SCRIPT_TEXT(settler->list.ids[i]);
        args[count++] = SCRIPT_TEXT("");
    }
    if (!count) {
        page_is_done(settler);
        return;
    }
    log_warn("settler", "freed reservations that no task uses", "count=%zu", count / 2);
    settler_send(settler, SCRIPT_CHARGE, args, count, settler_on_freed);
}

/* The reply of MONEY_AUDIT has task, reservation ..., as HELD takes them. */
static void ask_held(struct settler *settler, const redisReply *reply)
{
    struct script_arg args[2 * PAGE_MAX];
    size_t count = 0;

    settler->list.count = 0;
    for (size_t at = 2; at + 1 < reply->elements && count < ARRAY_LENGTH(args); at += 2) {
        size_t len = 0;
        const char *task = script_text(reply, at, &len);

        if (!task || !list_add(&settler->list, reply, at + 1))
            continue;
        args[count++] = (struct script_arg){task, len};
        args[count++] = SCRIPT_TEXT(settler->list.ids[settler->list.count - 1]);
    }
    if (count)
        settler_send(settler, SCRIPT_HELD, args, count, settler_on_held);
    else
        page_is_done(settler);
}

static void settler_on_page(const redisReply *reply, int err, void *arg)
{
    struct settler *settler = arg;
    const redisReply *answer = take_reply(settler, SCRIPT_MONEY_AUDIT, reply, err);
    size_t len = 0;
    const char *cursor = answer ? script_text(answer, 1, &len) : NULL;

    if (!cursor || len >= sizeof(settler->cursor)) {
        settler_give_up(settler);
        return;
    }
    memcpy(settler->cursor, cursor, len);
    settler->cursor[len] = '\0';
    ask_held(settler, answer);
}

static void ask_page(struct settler *settler)
{
    const struct script_arg args[] = {SCRIPT_TEXT(settler->cursor), SCRIPT_TEXT(BATCH_TEXT)};

    settler_send(settler, SCRIPT_MONEY_AUDIT, args, ARRAY_LENGTH(args), settler_on_page);
}

/* -- what comes next */

static void settler_next(struct settler *settler)
{
    if (settler->run)
        return;
    if (settler->wants_debts) {
        ask_debts(settler);
    } else if (settler->wants_audit) {
        memcpy(settler->cursor, FIRST_PAGE, sizeof(FIRST_PAGE));
        ask_page(settler);
    }
    if (settler->run)
        return;
    settler->wants_debts = settler->wants_more = settler->wants_audit = false; /* Redis is away */
    if (settler->config.on_idle && settler_is_idle(settler))
        settler->config.on_idle(settler->config.arg);
}

static void settler_on_timer(void *arg)
{
    struct settler *settler = arg;

    settler->wants_debts = settler->wants_more = true;
    settler_next(settler);
}

/* -- the object */

struct settler *settler_create(const struct settler_config *config)
{
    struct settler *settler = calloc(1, sizeof(*settler));

    if (!settler)
        return NULL;
    settler->config = *config;
    settler->timer = loop_timer_create(config->loop, settler_on_timer, settler);
    return settler->timer ? settler : settler_destroy(settler);
}

struct settler *settler_destroy(struct settler *settler)
{
    if (!settler)
        return NULL;
    if (settler->run)
        script_cancel(settler->run);
    loop_timer_destroy(settler->timer);
    free(settler);
    return NULL;
}

void settler_poke(struct settler *settler)
{
    if (!loop_timer_is_running(settler->timer))
        loop_timer_start(settler->timer, TOGETHER_MS);
}

void settler_audit(struct settler *settler, bool has_debts)
{
    settler->wants_debts |= has_debts;
    settler->wants_more |= has_debts;
    settler->wants_audit = true;
    settler_next(settler);
}

bool settler_is_idle(const struct settler *settler)
{
    return !settler->run && !loop_timer_is_running(settler->timer);
}
