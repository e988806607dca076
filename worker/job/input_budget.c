#include "worker/job/input_budget.h"

#include <stddef.h>

void input_budget_init(struct input_budget *budget, int64_t max)
{
    budget->left = max;
    TAILQ_INIT(&budget->waiting);
}

static bool grant(struct input_share *share)
{
    if (share->bytes > share->budget->left)
        return false;
    share->budget->left -= share->bytes;
    return true;
}

/* A callback may release shares, also the first one that waits. */
static void grant_waiting(struct input_budget *budget)
{
    struct input_share *first;

    while ((first = TAILQ_FIRST(&budget->waiting)) && grant(first)) {
        TAILQ_REMOVE(&budget->waiting, first, link);
        first->waits = false;
        first->on_granted(first->arg);
    }
}

bool input_share_take(struct input_share *share, struct input_budget *budget, int64_t bytes,
                      void (*on_granted)(void *arg), void *arg)
{
    *share = (struct input_share){.budget = budget, .bytes = bytes, .on_granted = on_granted, .arg = arg};
    if (TAILQ_EMPTY(&budget->waiting) && grant(share))
        return true;
    share->waits = true;
    TAILQ_INSERT_TAIL(&budget->waiting, share, link);
    return false;
}

void input_share_shrink(struct input_share *share, int64_t bytes)
{
    if (!share->budget || share->waits || bytes >= share->bytes)
        return;
    share->budget->left += share->bytes - bytes;
    share->bytes = bytes;
    grant_waiting(share->budget);
}

void input_share_release(struct input_share *share)
{
    struct input_budget *budget = share->budget;

    if (!budget)
        return;
    if (share->waits)
        TAILQ_REMOVE(&budget->waiting, share, link);
    else
        budget->left += share->bytes;
    share->budget = NULL;
    grant_waiting(budget);
}
