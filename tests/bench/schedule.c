#include "tests/bench/schedule.h"

#include <stdlib.h>

int schedule_init(struct schedule *schedule, size_t clients, int64_t every_ns, int64_t now_ns)
{
    *schedule = (struct schedule){.due_ns = calloc(clients, sizeof(*schedule->due_ns)), .every_ns = every_ns};
    if (!schedule->due_ns)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < clients; i++)
        schedule->due_ns[i] = now_ns + (int64_t)i * every_ns / (int64_t)clients;
    return 0;
}

void schedule_deinit(struct schedule *schedule)
{
    free(schedule->due_ns);
}

void schedule_next(struct schedule *schedule, size_t client, int64_t now_ns)
{
    int64_t *due_ns = &schedule->due_ns[client];

    *due_ns += schedule->every_ns;
    if (*due_ns < now_ns)
        *due_ns = now_ns;
}
