/* description - the fields of a worker's entry in Redis, see PROTOCOL.md, PRESENCE
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_DESCRIPTION_H
#define ARKRELAY_WORKER_DESCRIPTION_H

#include <stdbool.h>

struct metrics;
struct outbox_role;
struct presence_entry;
struct worker_options;

struct worker_facts {
    const struct worker_options *options;
    bool is_draining;
    int busy;                         /* jobs in flight */
    const char *catalogue;            /* its version */
    const struct outbox_role *outbox; /* NULL: off */
    const struct metrics *metrics;    /* NULL: not measured */
};

int worker_slots(const struct worker_options *options); /* how many jobs may be in flight; 0 without the role ark */

void worker_describe(struct presence_entry *entry, const struct worker_facts *facts);

#endif
