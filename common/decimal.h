/* decimal - an integer as text
 *
 * For whoever wants the bytes themselves; buf_add_int appends them. Pure.
 */
#ifndef ARKRELAY_DECIMAL_H
#define ARKRELAY_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_SIZE = 21 }; /* the smallest int64_t and its NUL */

size_t decimal_write(char out[DECIMAL_SIZE], int64_t value); /* its length, without the NUL */

#endif
