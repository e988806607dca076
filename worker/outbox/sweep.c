#include "worker/outbox/sweep.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/random.h"
#include "common/storage/storage.h"
#include "common/task/storage_check.h"
#include "worker/metrics/metrics.h"

enum { SWEEP_MS = 60 * 60 * 1000, FIRST_MS = 1000, BATCH = 200 };

struct sweep {
    struct sweep_config config;
    struct loop_timer *timer;
    struct storage_call *call; /* NULL: none */
    bool stopped;
};

static void sweep_run(struct sweep *sweep);

static void sweep_on_end(const struct storage_outcome *outcome, int deleted, bool has_more, void *arg)
{
    struct sweep *sweep = arg;

    sweep->call = NULL;
    metrics_add(sweep->config.metrics, SAMPLE(METRIC_PICTURES_DELETED), deleted);
    if (deleted)
        log_info("outbox", "deleted expired pictures", "count=%d", deleted);
    if (outcome->end != STORAGE_DONE)
        log_warn("outbox", "cannot delete expired pictures, trying again", "end=%s words=\"%s\"",
                 storage_end_name(outcome->end), outcome->words);
    if (has_more && !sweep->stopped)
        sweep_run(sweep);
}

static void sweep_run(struct sweep *sweep)
{
    if (!sweep->call &&
        storage_sweep(sweep->config.storage, storage_day_of(clock_wall_ms()), BATCH, sweep_on_end, sweep, &sweep->call))
        sweep->call = NULL; /* the timer tries again */
}

static void sweep_on_timer(void *arg)
{
    struct sweep *sweep = arg;

    if (!storage_check_passed(sweep->config.check)) {
        loop_timer_start(sweep->timer, FIRST_MS);
        return;
    }
    loop_timer_start(sweep->timer, SWEEP_MS / 2 + (int64_t)(random_unit() * SWEEP_MS));
    sweep_run(sweep);
}

struct sweep *sweep_create(const struct sweep_config *config)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));

    if (!sweep)
        return NULL;
    sweep->config = *config;
    sweep->timer = loop_timer_create(config->loop, sweep_on_timer, sweep);
    if (!sweep->timer)
        return sweep_destroy(sweep);
    loop_timer_start(sweep->timer, FIRST_MS);
    return sweep;
}

struct sweep *sweep_destroy(struct sweep *sweep)
{
    if (!sweep)
        return NULL;
    if (sweep->call)
        storage_cancel(sweep->call);
    loop_timer_destroy(sweep->timer);
    free(sweep);
    return NULL;
}

void sweep_stop(struct sweep *sweep)
{
    sweep->stopped = true;
    loop_timer_stop(sweep->timer);
}
