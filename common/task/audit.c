#include "common/task/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"
#include "common/task/settler.h"

static const char TASKS_PER_CALL[] = "200";

enum { CALLS_PER_INTERVAL = 4 };

/* The first number of AUDIT's answer. */
enum audit_turn { TURN_NOT_OURS = -1, TURN_CONTINUES = 0, TURN_OVER = 1 };

struct audit {
    struct audit_config config;
    struct loop_timer *timer;
    struct script_run *run;
};

static void run_audit(struct audit *audit);

static void audit_on_answer(const redisReply *reply, int err, void *arg)
{
    struct audit *audit = arg;
    int64_t turn, repaired, debts;

    audit->run = NULL;
    if (err)
        return; /* the timer calls again */
    if (script_int(reply, 0, &turn) || script_int(reply, 1, &repaired)) {
        char why[256];

        log_warn("audit", "AUDIT failed, trying again", "error=%s",
                 log_quote(why, sizeof(why), reply->str ? reply->str : "no numbers"));
        return;
    }
    if (repaired)
        log_warn("audit", "repaired inconsistent tasks", "count=%lld", (long long)repaired);
    if (turn == TURN_CONTINUES)
        run_audit(audit);
    else if (turn == TURN_OVER)
        settler_audit(audit->config.settler, !script_int(reply, 2, &debts));
}

static void run_audit(struct audit *audit)
{
    const struct audit_config *config = &audit->config;
    char interval[24];

    (void)snprintf(interval, sizeof(interval), "%lld", (long long)config->interval_ms);

    const struct script_arg args[] = {SCRIPT_TEXT(config->process), SCRIPT_TEXT(interval), SCRIPT_TEXT(TASKS_PER_CALL)};
    const struct script_call call = {
        .script = &scripts[SCRIPT_AUDIT], .prefix = config->prefix, .args = args, .count = ARRAY_LENGTH(args)};

    if (!audit->run && script_run(config->redis, &call, audit_on_answer, audit, &audit->run))
        audit->run = NULL; /* Redis is away */
}

/* Random, so that processes started together do not call together. */
static void audit_schedule(struct audit *audit)
{
    double mean_ms = (double)audit->config.interval_ms / (double)CALLS_PER_INTERVAL;

    loop_timer_start(audit->timer, (int64_t)((0.5 + random_unit()) * mean_ms));
}

static void audit_on_timer(void *arg)
{
    struct audit *audit = arg;

    audit_schedule(audit);
    run_audit(audit);
}

struct audit *audit_create(const struct audit_config *config)
{
    struct audit *audit = calloc(1, sizeof(*audit));

    if (!audit)
        return NULL;
    audit->config = *config;
    audit->timer = loop_timer_create(config->loop, audit_on_timer, audit);
    if (!audit->timer)
        return audit_destroy(audit);
    audit_schedule(audit);
    return audit;
}

struct audit *audit_destroy(struct audit *audit)
{
    if (!audit)
        return NULL;
    if (audit->run)
        script_cancel(audit->run);
    loop_timer_destroy(audit->timer);
    free(audit);
    return NULL;
}
