/* random - random bytes and numbers from the kernel
 *
 * Functions whose decisions depend on chance take it as an argument (`dice`), so that tests can choose it.
 *
 * Threads: any.
 */
#ifndef ARKRELAY_BASE_RANDOM_H
#define ARKRELAY_BASE_RANDOM_H

#include <stddef.h>

void random_bytes(void *out, size_t len);
double random_unit(void); /* 0 <= x < 1 */

/* Writes `bytes` random bytes as 2 * bytes lower-case hex digits and a NUL. */
void random_hex(char *out, size_t bytes);

#endif
