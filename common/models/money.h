/* money - amounts in micro-units of a currency
 *
 * Integers everywhere inside; a decimal number only where people or clients read it.
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_MONEY_H
#define ARKRELAY_MODELS_MONEY_H

#include <stdint.h>

struct buf;

enum { MONEY_UNIT = 1000000 };

/* Adds the amount as a JSON number without trailing zeros: 45000 is 0.045. `micros` is not negative. */
void money_add(struct buf *out, int64_t micros);

#endif
