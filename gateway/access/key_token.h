/* key_token - what a client's key looks like
 *
 *     arkrelay_<key id>_<secret><checksum>        12, 64 and 8 lower-case hex digits
 *
 * The key id may be known to everybody: it names the key in the keys file and in logs. The secret is 256 random bits; only the SHA-256 of
 * the whole key is kept. The checksum (of all before it) tells a typo without a look at any file.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_TOKEN_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/sha256.h"

#define KEY_TOKEN_PREFIX "arkrelay_"

enum {
    KEY_ID_BYTES = 6,
    KEY_ID_SIZE = 2 * KEY_ID_BYTES + 1,
    KEY_SECRET_BYTES = 32,
    KEY_CHECK_CHARS = 8,
    KEY_TOKEN_LEN = sizeof(KEY_TOKEN_PREFIX) - 1 + KEY_ID_SIZE - 1 + 1 + 2 * KEY_SECRET_BYTES + KEY_CHECK_CHARS,
    KEY_TOKEN_SIZE = KEY_TOKEN_LEN + 1,
    KEY_DIGEST_SIZE = SHA256_SIZE,
};

/* Both texts are lower-case hex digits of the lengths above. ERR_SYSTEM: the library cannot hash. */
int key_token_make(char out[KEY_TOKEN_SIZE], const char *id, const char *secret) MUST_CHECK;

/* The key id in what may be a key, or "" where it has not the form of one. The checksum is not looked at. */
void key_token_id(char out[KEY_ID_SIZE], const char *token, size_t len);

bool key_token_has_typo(const char *token); /* it has the form of a key, and another checksum */

bool key_id_is_valid(const char *id, size_t len);

/* Takes the same time whatever they hold. */
bool key_digest_is(const unsigned char a[KEY_DIGEST_SIZE], const unsigned char b[KEY_DIGEST_SIZE]);

#endif
