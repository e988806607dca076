/* period - UTC days and months of reports, as consecutive numbers
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_API_PERIOD_H
#define ARKRELAY_GATEWAY_API_PERIOD_H

#include <stdbool.h>
#include <stdint.h>

enum period_kind { PERIOD_DAY, PERIOD_MONTH };

enum { PERIOD_TEXT_SIZE = 16 };

int64_t period_of(enum period_kind kind, int64_t ms); /* the day or month of a time */

/* "2026-11-30" or "2026-11". False: not a day or month from 1970 to 9999. */
bool period_read(enum period_kind kind, const char *text, int64_t *out);

void period_text(enum period_kind kind, int64_t period, char out[PERIOD_TEXT_SIZE]);
void period_key(enum period_kind kind, int64_t period,
                char out[PERIOD_TEXT_SIZE]); /* as in Redis: "20261130", "202611" */

#endif
