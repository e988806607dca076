/* sha256 - SHA-256 (FIPS 180-4), computed by OpenSSL
 *
 * The algorithm is fetched once and kept. Otherwise OpenSSL looks it up for every digest, under a lock shared by all threads.
 *
 * Threads: any.
 */
#ifndef ARKRELAY_BASE_SHA256_H
#define ARKRELAY_BASE_SHA256_H

#include <stddef.h>

#include "common/base/err.h"

enum { SHA256_SIZE = 32 };

/* ERR_NO_MEMORY; a later call may succeed. */
int sha256(unsigned char out[SHA256_SIZE], const char *bytes, size_t len) MUST_CHECK;

#endif
