/* macros - what C lacks and several files need
 */
#ifndef ARKRELAY_BASE_MACROS_H
#define ARKRELAY_BASE_MACROS_H

#include <stddef.h>
#include <sys/queue.h>

/* The number of elements of an array; not for pointers. */
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of `type` whose `member` is at `pointer`. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* TAILQ_FOREACH whose body may remove `var`; not in glibc's sys/queue.h. */
#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                                     \
    for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))
#endif

#endif
