/* money - amounts in micro-units of a currency
 *
 * Integers everywhere inside; a decimal number only where people or clients read or write it.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_MONEY_H
#define ARKRELAY_BASE_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum { MONEY_UNIT = 1000000 };

#define MONEY_MAX (INT64_C(1000000000) * MONEY_UNIT) /* of an option: sums of several stay below 2^53, exact in Lua */

/* Adds the amount as a JSON number without trailing zeros: 45000 is 0.045. `micros` is not negative. */
void money_add(struct buf *out, int64_t micros);

/* "12", "0.045": digits, and a point with up to six digits. False: the text is something else, or more than MONEY_MAX. */
bool money_read(const char *text, size_t len, int64_t *out);

#endif
