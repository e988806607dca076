/* settler - brings what ended tasks cost into the ledger of money
 *
 * The script that ends a task writes a debt into the task's partition, in the same step. The ledger is in another slot, so no script can write
 * both. The settler of the process that ended the task moves the debt soon after:
 *
 *     DEBTS (partition) -> CHARGE (ledger) -> DEBTS: removes what was charged, and returns further debts
 *
 * CHARGE recognizes a debt that it has seen, so any process may repeat any step. After each pass of AUDIT, the process that made it moves debts
 * that were left behind by processes that ended, and frees reservations that SUBMIT did not use:
 *
 *     MONEY_AUDIT (ledger: old reservations) -> HELD (partition: which ones are in use) -> CHARGE frees the others
 *
 * Ownership: borrows everything in its config.
 * Threads:   loop thread only.   Units: ms.
 * Errors:    a failed call is logged; the next audit tries again.
 */
#ifndef ARKRELAY_TASK_SETTLER_H
#define ARKRELAY_TASK_SETTLER_H

#include <stdbool.h>

struct loop;
struct redis;
struct settler;

struct settler_config {
    struct loop *loop;
    struct redis *redis;
    const char *prefix;         /* of the partition */
    void (*on_idle)(void *arg); /* may be NULL; the settler has nothing more to do */
    void *arg;
};

struct settler *settler_create(const struct settler_config *config); /* NULL when out of memory */
struct settler *settler_destroy(struct settler *settler);            /* accepts NULL; returns NULL */

/* A task with a debt has ended. Debts of tasks that end within a moment are moved together. */
void settler_poke(struct settler *settler);

/* A pass of AUDIT has ended. has_debts: it has seen debts. */
void settler_audit(struct settler *settler, bool has_debts);

bool settler_is_idle(const struct settler *settler);

#endif
