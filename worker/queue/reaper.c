#include "worker/queue/reaper.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"
#include "common/task/settler.h"

enum { INTERVAL_MS = 1000, BATCH = 32 };

/* The arguments of REAP. HOLD_MS is longer than a worker's longest reconnect delay plus one RENEW. */
static const char GRACE_MS[] = "500", MOST[] = "32", HOLD_MS[] = "5000";

struct reaper {
    struct redis *redis;
    const char *prefix;
    struct settler *settler;
    struct loop_timer *timer;
    struct script_run *run;
};

static void reap(struct reaper *reaper);

static void reaper_on_reaped(const redisReply *reply, int err, void *arg)
{
    struct reaper *reaper = arg;

    reaper->run = NULL;
    if (err)
        return; /* the next tick tries again */
    if (reply->type != REDIS_REPLY_INTEGER) {
        char why[256];

        log_warn("reaper", "REAP failed, trying again", "error=%s",
                 log_quote(why, sizeof(why), reply->str ? reply->str : "unexpected answer"));
        return;
    }
    if (reply->integer) {
        log_warn("reaper", "settled jobs of lost workers", "count=%lld", reply->integer);
        settler_poke(reaper->settler);
    }
    if (reply->integer == BATCH)
        reap(reaper);
}

static void reap(struct reaper *reaper)
{
    const struct script_arg args[] = {SCRIPT_TEXT(GRACE_MS), SCRIPT_TEXT(MOST), SCRIPT_TEXT(HOLD_MS)};
    const struct script_call call = {
        .script = &scripts[SCRIPT_REAP], .prefix = reaper->prefix, .args = args, .count = ARRAY_LENGTH(args)};

    if (!reaper->run && script_run(reaper->redis, &call, reaper_on_reaped, reaper, &reaper->run))
        reaper->run = NULL; /* not connected: the next tick tries again */
}

/* 0.5 to 1.5 seconds: jitter spreads the workers. */
static void reaper_schedule(struct reaper *reaper)
{
    int64_t wait_ms = INTERVAL_MS / 2 + (int64_t)(random_unit() * (double)INTERVAL_MS);

    loop_timer_start(reaper->timer, wait_ms);
}

static void reaper_on_timer(void *arg)
{
    struct reaper *reaper = arg;

    reaper_schedule(reaper);
    reap(reaper);
}

struct reaper *reaper_create(struct loop *loop, struct redis *redis, const char *prefix, struct settler *settler)
{
    struct reaper *reaper = calloc(1, sizeof(*reaper));

    if (!reaper)
        return NULL;
    reaper->redis = redis;
    reaper->prefix = prefix;
    reaper->settler = settler;
    reaper->timer = loop_timer_create(loop, reaper_on_timer, reaper);
    if (!reaper->timer)
        return reaper_destroy(reaper);
    reaper_schedule(reaper);
    return reaper;
}

struct reaper *reaper_destroy(struct reaper *reaper)
{
    if (!reaper)
        return NULL;
    if (reaper->run)
        script_cancel(reaper->run);
    loop_timer_destroy(reaper->timer);
    free(reaper);
    return NULL;
}
