/* schedule - when each client of a closed loop may begin its next task
 *
 * Clients that end at the same time would begin at the same time, in a crowd that grows with each round. So each client keeps its own
 * offset in the interval, unless its task took longer than the interval.
 *
 * Units: ns.
 */
#ifndef ARKRELAY_BENCH_SCHEDULE_H
#define ARKRELAY_BENCH_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct schedule {
    int64_t *due_ns; /* of each client */
    int64_t every_ns;
};

/* The clients' first turns are spread evenly over one interval. every_ns 0: at once. */
int schedule_init(struct schedule *schedule, size_t clients, int64_t every_ns, int64_t now_ns) MUST_CHECK;
void schedule_deinit(struct schedule *schedule);

/* The client's task has ended. */
void schedule_next(struct schedule *schedule, size_t client, int64_t now_ns);

#endif
