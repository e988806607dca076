/* presence - keeps this process's entry in Redis, for operators' pages
 *
 * Every `interval_ms` it writes the process's fields into its hash under `arkrelay:{processes}:` (PRESENCE). The entry expires after
 * three intervals, and is removed at once when the process ends. Nothing in the queue depends on it: while Redis is away no entry
 * is written, and missed writes are not repeated.
 *
 * Ownership: borrows the Redis connection and the texts of its config.
 * Threads:   loop thread only.   Units: ms.
 * Errors:    none; a failed write is ignored.
 */
#ifndef ARKRELAY_OPS_PRESENCE_H
#define ARKRELAY_OPS_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct presence;
struct presence_entry;
struct redis;

enum { PRESENCE_NAME_SIZE = 96 };

/* The process's name in Redis and logs: `chosen`, or "<host>:<pid>" if that is "". */
void presence_name(char out[PRESENCE_NAME_SIZE], const char *chosen);

struct presence_config {
    struct loop *loop;
    struct redis *redis;
    const char *name, *role;
    int64_t interval_ms;                                       /* 0: presence is off */
    void (*describe)(struct presence_entry *entry, void *arg); /* adds the role's own fields */
    void *arg;
};

struct presence *presence_create(const struct presence_config *config); /* NULL when out of memory */
struct presence *presence_destroy(struct presence *presence);           /* accepts NULL; returns NULL */

/* Only inside `describe`. `name` must be a string constant. A field that does not fit is left out. */
void presence_add_field(struct presence_entry *entry, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes the entry now, and then every interval. Call it whenever Redis has become ready. */
void presence_write(struct presence *presence);

/* Removes the entry, once, when the process ends. on_removed is called after Redis has answered, or soon if Redis is away; never
 * inside this call, and never after presence_destroy. */
void presence_remove(struct presence *presence, void (*on_removed)(void *arg), void *arg);

#endif
