/* macros - what C lacks and several files need
 */
#ifndef ARKRELAY_BASE_MACROS_H
#define ARKRELAY_BASE_MACROS_H

#include <stddef.h>

/* The number of elements of an array; not for pointers. */
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of `type` whose `member` is at `pointer`. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
