#include "worker/governor.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/decimal.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/redis/client.h"
#include "common/redis/script.h"

static const char PREFIX[] = "arkrelay:{account}:";

enum { MERGE_MS = 50 }; /* reports within this go out as one */

struct governor {
    struct governor_config config;
    struct event *timer; /* the next report */
    struct script_run *run;
    int held;     /* permits */
    int want;     /* asked for and not answered */
    bool asking;  /* the call under way carries the question */
    bool changed; /* there is something to report */
    int64_t spent, sent_spent;
    enum govern_event event, sent_event;
    int64_t pause_ms, sent_pause_ms;
};

static void report(struct governor *governor);

static void report_within(struct governor *governor, int64_t wait_ms)
{
    struct timeval tv = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};

    evtimer_add(governor->timer, &tv);
}

/* While permits are out the account must hear of this worker, changed or not. */
static void schedule(struct governor *governor)
{
    if (governor->changed)
        report_within(governor, MERGE_MS);
    else if (governor->held)
        report_within(governor, governor->config.ttl_ms / 3);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
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

/* The call under way was lost, or never left: what it carried goes with the next one. It may have run, so what was given back is
 * not given back twice: the account's rate would be exceeded. */
static void take_back(struct governor *governor)
{
    if (governor->sent_spent > 0)
        governor->spent += governor->sent_spent;
    if (governor->sent_event > governor->event) {
        governor->event = governor->sent_event;
        governor->pause_ms = governor->sent_pause_ms;
    }
    governor->changed = true;
}

static void answer(struct governor *governor, int granted, int64_t wait_ms)
{
    governor->asking = false;
    governor->want = 0;
    governor->held += granted;
    governor->config.on_granted(granted, wait_ms, governor->config.arg);
}

static void on_governed(const redisReply *reply, int err, void *arg)
{
    struct governor *governor = arg;
    bool asked = governor->asking;
    int64_t granted = 0, wait_ms = 0;

    governor->run = NULL;
    if (err || script_int(reply, 0, &granted) || script_int(reply, 1, &wait_ms)) {
        char why[256];

        if (!err)
            log_warn("governor", "GOVERN failed, trying again", "error=%s",
                     log_quote(why, sizeof(why), reply->str ? reply->str : "no numbers"));
        take_back(governor);
        granted = 0;
        wait_ms = governor->config.again_ms;
        report_within(governor, governor->config.again_ms);
    } else {
        schedule(governor);
    }
    if (asked)
        answer(governor, (int)granted, wait_ms);
    else if (governor->want)
        report(governor);
    if (governor_is_settled(governor))
        governor->config.on_settled(governor->config.arg);
}

static const char *event_name(enum govern_event event)
{
    static const char *const names[] = {[GOVERN_NOTHING] = "", [GOVERN_OK] = "ok", [GOVERN_REFUSED] = "refused"};

    return names[event];
}

static int send_report(struct governor *governor)
{
    const struct governor_config *config = &governor->config;
    const int64_t numbers[] = {config->ttl_ms,          governor->held,         governor->want,
                               config->images_per_call, config->calls_max,      config->images_per_minute,
                               governor->sent_spent,    governor->sent_pause_ms};
    enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
    char text[COUNT][DECIMAL_SIZE];

    for (size_t i = 0; i < COUNT; i++)
        (void)decimal_write(text[i], numbers[i]);

    const char *event = event_name(governor->sent_event);
    const struct script_arg args[] = {SCRIPT_TEXT(config->worker), SCRIPT_TEXT(text[0]), SCRIPT_TEXT(text[1]),
                                      SCRIPT_TEXT(text[2]),        SCRIPT_TEXT(text[3]), SCRIPT_TEXT(text[4]),
                                      SCRIPT_TEXT(text[5]),        SCRIPT_TEXT(text[6]), SCRIPT_TEXT(event),
                                      SCRIPT_TEXT(text[7])};
    const struct script_call call = {
        .script = SCRIPT_GOVERN, .prefix = PREFIX, .args = args, .count = sizeof(args) / sizeof(args[0])};

    return script_run(config->redis, &call, on_governed, governor, &governor->run);
}

/* One call at a time carries all there is to say. When it cannot leave, the timer tries again, and answers the question. */
static void report(struct governor *governor)
{
    if (governor->run)
        return;
    evtimer_del(governor->timer);
    governor->changed = false;
    governor->asking = governor->want > 0;
    governor->sent_spent = governor->spent;
    governor->sent_event = governor->event;
    governor->sent_pause_ms = governor->pause_ms;
    governor->spent = 0;
    governor->event = GOVERN_NOTHING;
    governor->pause_ms = 0;
    if (send_report(governor)) {
        take_back(governor);
        report_within(governor, governor->config.again_ms);
    }
}

struct governor *governor_create(const struct governor_config *config)
{
    struct governor *governor = calloc(1, sizeof(*governor));

    if (!governor)
        return NULL;
    governor->config = *config;
    governor->timer = evtimer_new(loop_base(config->loop), on_timer, governor);
    return governor->timer ? governor : governor_destroy(governor);
}

struct governor *governor_destroy(struct governor *governor)
{
    if (!governor)
        return NULL;
    if (governor->run)
        script_cancel(governor->run);
    if (governor->timer)
        event_free(governor->timer);
    free(governor);
    return NULL;
}

void governor_ask(struct governor *governor, int want)
{
    assert(!governor->want && want > 0);
    governor->want = want;
    report(governor);
}

void governor_return(struct governor *governor, int permits)
{
    if (!permits)
        return;
    governor->held -= permits;
    governor_settle(governor, -permits * governor->config.images_per_call);
}

void governor_release(struct governor *governor)
{
    governor->held--;
    change(governor);
}

int governor_images_per_call(const struct governor *governor)
{
    return governor->config.images_per_call;
}

void governor_settle(struct governor *governor, int images)
{
    governor->spent += images;
    change(governor);
}

void governor_tell(struct governor *governor, enum govern_event event, int64_t pause_ms)
{
    if (event > governor->event)
        governor->event = event;
    if (pause_ms > governor->pause_ms)
        governor->pause_ms = pause_ms;
    if (event == GOVERN_REFUSED)
        report(governor); /* at once: every moment, others start calls */
    else
        change(governor);
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
