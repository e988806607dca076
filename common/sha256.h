/* sha256 - SHA-256 (FIPS 180-4) by OpenSSL
 *
 * The library looks for an algorithm anew, under a lock that all threads share, with every use of one that was not fetched: here it is
 * fetched once.   Threads: any.
 */
#ifndef ARKRELAY_SHA256_H
#define ARKRELAY_SHA256_H

#include <stddef.h>

#include "common/err.h"

enum { SHA256_SIZE = 32 };

/* ERR_SYSTEM: the library cannot hash, for want of memory most likely. */
int sha256(unsigned char out[SHA256_SIZE], const char *bytes, size_t len) MUST_CHECK;

#endif
