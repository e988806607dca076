/* key_token - the format of an API key
 *
 *     arkrelay_<key id>_<secret><checksum>        12, 64 and 8 lower-case hex digits
 *
 * The key id is public: it names the key in the keys file and in logs. The secret is 256 random bits; only the SHA-256 of the whole
 * key is stored. The checksum (of everything in front of it) detects typos without access to any file.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_TOKEN_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/sha256.h"

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

/* `id` and `secret` are lower-case hex digits of the lengths above. ERR_SYSTEM: OpenSSL cannot hash. */
int key_token_make(char out[KEY_TOKEN_SIZE], const char *id, const char *secret) MUST_CHECK;

/* The key id of a token, or "" if the token does not have the format of a key. Does not verify the checksum. */
void key_token_id(char out[KEY_ID_SIZE], const char *token, size_t len);

bool key_token_has_typo(const char *token); /* the format is right, the checksum is wrong */

bool key_id_is_valid(const char *id, size_t len);

/* Constant time. */
bool key_digest_is(const unsigned char a[KEY_DIGEST_SIZE], const unsigned char b[KEY_DIGEST_SIZE]);

#endif
