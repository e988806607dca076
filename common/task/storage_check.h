/* storage_check - whether this program uses the same storage as all others
 *
 * Redis has the identity of the first storage that was used. A program with another one, such as the directory of another machine, would store
 * pictures where no gateway finds them, and answer 404 for those that exist. The check is made when Redis is ready, and about every half
 * minute, so that an operator's correction is noticed.
 *
 * Ownership: borrows everything in its config.   Threads: loop thread only.
 */
#ifndef ARKRELAY_TASK_STORAGE_CHECK_H
#define ARKRELAY_TASK_STORAGE_CHECK_H

#include <stdbool.h>

struct loop;
struct redis;
struct storage_check;

struct storage_check_config {
    struct loop *loop;
    struct redis *redis;
    const char *identity;
    bool is_quiet; /* logs nothing: another thread does */
};

struct storage_check *storage_check_create(const struct storage_check_config *config); /* NULL when out of memory */
struct storage_check *storage_check_destroy(struct storage_check *check);              /* accepts NULL; returns NULL */

void storage_check_resume(struct storage_check *check); /* Redis is ready; accepts NULL */

/* True: Redis said that this is the storage of all programs, and has not said otherwise since. */
bool storage_check_passed(const struct storage_check *check);

/* True: Redis said that others use another storage. Accepts NULL. */
bool storage_check_failed(const struct storage_check *check);

#endif
