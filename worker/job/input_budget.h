/* input_budget - how much memory the images of all jobs may take until they are sent to ARK
 *
 * A job takes a share for the largest possible inputs before it reads them, shrinks it when it knows their size, and releases it when libcurl has
 * taken the whole request, or the attempt ends. Where there is not enough left, jobs wait in their order.
 *
 * Ownership: shares are members of preparations, which release them; a zeroed share is released. The budget outlives all shares.
 * Callbacks: on_granted from inside a shrink or release of another share.
 * Threads:   loop thread only.   Units: bytes.
 */
#ifndef ARKRELAY_WORKER_JOB_INPUT_BUDGET_H
#define ARKRELAY_WORKER_JOB_INPUT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct input_share {
    struct input_budget *budget; /* NULL: released */
    int64_t bytes;
    bool waits;
    void (*on_granted)(void *arg);
    void *arg;
    TAILQ_ENTRY(input_share) link; /* while it waits */
};

struct input_budget {
    int64_t left;
    TAILQ_HEAD(input_shares, input_share) waiting;
};

void input_budget_init(struct input_budget *budget, int64_t max);

/* True: granted. False: on_granted follows, unless the share is released before. `bytes` is at most the budget's maximum. */
bool input_share_take(struct input_share *share, struct input_budget *budget, int64_t bytes,
                      void (*on_granted)(void *arg), void *arg);
void input_share_shrink(struct input_share *share, int64_t bytes); /* no-op if it has less */
void input_share_release(struct input_share *share);               /* no-op for a released one */

#endif
