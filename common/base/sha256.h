/* sha256 - SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104), computed by OpenSSL
 *
 * The algorithm is fetched once and kept. Otherwise OpenSSL looks it up for every digest, under a lock shared by all threads.
 *
 * Threads: any; a struct sha256_stream one at a time.
 * Errors:  ERR_NO_MEMORY; a later call may succeed.
 */
#ifndef ARKRELAY_BASE_SHA256_H
#define ARKRELAY_BASE_SHA256_H

#include <stddef.h>

#include "common/base/err.h"

enum { SHA256_SIZE = 32, SHA256_HEX_SIZE = 2 * SHA256_SIZE + 1 };

int sha256(unsigned char out[SHA256_SIZE], const char *bytes, size_t len) MUST_CHECK;

/* key_len may be 0. */
int sha256_hmac(unsigned char out[SHA256_SIZE], const void *key, size_t key_len, const char *bytes,
                size_t len) MUST_CHECK;

void sha256_hex(char out[SHA256_HEX_SIZE], const unsigned char digest[SHA256_SIZE]); /* lower case, with a NUL */

/* The digest of bytes that arrive in pieces. */
struct sha256_stream;

struct sha256_stream *sha256_stream_create(void);                          /* NULL when out of memory */
struct sha256_stream *sha256_stream_destroy(struct sha256_stream *stream); /* accepts NULL; returns NULL */
int sha256_stream_add(struct sha256_stream *stream, const void *bytes, size_t len) MUST_CHECK;
int sha256_stream_end(struct sha256_stream *stream, unsigned char out[SHA256_SIZE]) MUST_CHECK; /* once, last */

#endif
