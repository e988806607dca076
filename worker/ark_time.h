/* ark_time - the time that an ARK message names
 *
 * "Your quota will reset at 2026-11-30 18:00:00 +0800": ARK writes the time of a reset into the words of its error, in several spellings.
 * Without a zone it is taken as Beijing time, where ARK is.
 *
 * Pure.
 */
#ifndef ARKRELAY_ARK_TIME_H
#define ARKRELAY_ARK_TIME_H

#include <stdint.h>

/* The first `YYYY-MM-DD hh:mm[:ss[.fraction]]` in the text, also with slashes or a T, with an optional zone: Z, UTC, +hh:mm, +hhmm, UTC+8.
 * Returns ms since 1970 UTC, or 0 if there is none. */
int64_t ark_time_find(const char *text);

#endif
