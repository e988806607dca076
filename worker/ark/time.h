/* ark_time - finds a time in a message of ARK
 *
 * ARK puts the time of a quota reset into the text of its error, in several formats: "Your quota will reset at 2026-11-30 18:00:00 +0800". A
 * time without a zone is taken as Beijing time.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_TIME_H
#define ARKRELAY_WORKER_ARK_TIME_H

#include <stdint.h>

/* The first `YYYY-MM-DD hh:mm[:ss[.fraction]]` in the text, also with slashes or a T, with an optional zone: Z, UTC, +hh:mm, +hhmm,
 * UTC+8. Returns ms since 1970 UTC, or 0 if there is none. */
int64_t ark_time_find(const char *text);

#endif
