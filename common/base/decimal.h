/* decimal - formats an integer into a fixed array
 *
 * buf_add_int appends one to a buf.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_DECIMAL_H
#define ARKRELAY_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_SIZE = 21 }; /* INT64_MIN and the NUL */

size_t decimal_write(char out[DECIMAL_SIZE], int64_t value); /* returns the length without the NUL */

#endif
