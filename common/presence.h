/* presence - a process tells Redis that it is there, for people and their pages
 *
 * Every `interval_ms` it writes what it is and does into its hash of `arkrelay:{processes}:`, on a connection that it shares with
 * others, and nothing decides by it: while Redis is away it says nothing, and what was not written is not written later. The entry ends by itself
 * after three intervals, and at once when the process leaves.
 *
 * Ownership: borrows the connection.   Threads: the loop's thread only.   Units: ms.
 */
#ifndef ARKRELAY_PRESENCE_H
#define ARKRELAY_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct presence;
struct presence_note;
struct redis;

enum { PRESENCE_NAME_SIZE = 96 };

/* What a process is called in Redis and logs: `chosen`, or its host and process id where that is "". */
void presence_name(char out[PRESENCE_NAME_SIZE], const char *chosen);

struct presence_config {
    struct loop *loop;
    struct redis *redis;
    const char *name; /* borrowed, as role */
    const char *role;
    int64_t interval_ms;                                     /* 0: it says nothing */
    void (*describe)(struct presence_note *note, void *arg); /* adds what its role has to say */
    void *arg;
};

struct presence *presence_create(const struct presence_config *config); /* NULL when out of memory */
struct presence *presence_destroy(struct presence *presence);           /* accepts NULL; returns NULL */

/* From inside of `describe`; `name` is a constant. What does not fit is left out. */
void presence_say(struct presence_note *note, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void presence_tell(struct presence *presence); /* now, and then after each interval: Redis is there */

/* The process ends: its entry goes, and `left` follows once Redis has said so or cannot be asked, never from inside of this call,
 * nor after presence_destroy. For one call. */
void presence_leave(struct presence *presence, void (*left)(void *arg), void *arg);

#endif
