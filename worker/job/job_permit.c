#include "worker/job/job_permit.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "worker/ark/redact.h"
#include "worker/ark/result.h"
#include "worker/ark/verdict.h"

void job_permit_take(struct job_permit *own, struct governor *governor)
{
    own->governor = governor;
    governor_take(governor, &own->permit);
}

void job_permit_book(struct job_permit *own, const char *model, int images)
{
    (void)snprintf(own->model, sizeof(own->model), "%s", model);
    governor_book(own->governor, &own->permit, own->model, images);
}

bool job_permit_is_trial(const struct job_permit *own)
{
    return own->permit.trial || own->permit.account_trial;
}

bool job_permit_is_blocked(const struct job_permit *own)
{
    return governor_is_blocked(own->governor, own->model);
}

bool job_permit_must_wait(const struct job_permit *own)
{
    return !job_permit_is_trial(own) && job_permit_is_blocked(own);
}

void job_permit_call(struct job_permit *own)
{
    own->called_ms = clock_monotonic_ms();
}

int64_t job_permit_call_ms(const struct job_permit *own)
{
    return clock_monotonic_ms() - own->called_ms;
}

int charged_images(const struct verdict *verdict, const struct ark_result *ark)
{
    switch (verdict->charge) {
    case CHARGE_VOID:
        return 0;
    case CHARGE_KNOWN:
        return ark->generated > ark->images ? ark->generated : ark->images;
    case CHARGE_UNKNOWN:
    case CHARGE_NONE:
        break;
    }
    return -1;
}

bool job_permit_settle(struct job_permit *own, const struct verdict *verdict, const struct ark_result *ark,
                       bool asks_first)
{
    int images = charged_images(verdict, ark);
    char why[SCOPE_WHY_SIZE];

    if (images >= 0)
        governor_book(own->governor, &own->permit, own->model, images);
    return governor_note(own->governor, &own->permit,
                         &(struct call_note){.news = account_news_of(verdict),
                                             .asks_first = asks_first,
                                             .began_ms = own->called_ms,
                                             .took_ms = job_permit_call_ms(own),
                                             .pause_ms = verdict->until_ms ? 0 : verdict->delay_ms,
                                             .until_ms = verdict->until_ms,
                                             .problem = verdict->problem,
                                             .why = redact(why, sizeof(why), verdict->words)});
}

void job_permit_release(struct job_permit *own)
{
    if (!own->called_ms)
        governor_book(own->governor, &own->permit, own->permit.scope->name, 0);
    governor_release(own->governor, &own->permit);
}
