/* signature - the secrets of webhooks and the signatures made with them (Standard Webhooks 1.0, standardwebhooks.com)
 *
 * Each client has a secret of its own, which is derived from the operator's WEBHOOK_SECRET:
 *
 *     secret    = HMAC-SHA256(WEBHOOK_SECRET, "arkrelay webhook secret\n<client>\n<generation>"), shown as whsec_<base64>
 *     id        = msg_<the first 128 bits of SHA-256("<client>.<task_id> <epoch> <n>"), in hex>
 *     signature = v1,<base64 of HMAC-SHA256(secret, "<id>.<seconds>.<body>")>
 *
 * A delivery is signed by the secrets of two generations, the client's current one and the one before it, so that a receiver can change to
 * the new secret at any time. The id stays the same if a delivery is repeated; the time and the signatures are new.
 *
 * Pure.   Errors: ERR_NO_MEMORY; a later call may succeed.
 */
#ifndef ARKRELAY_WEBHOOK_SIGNATURE_H
#define ARKRELAY_WEBHOOK_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/sha256.h"

enum {
    WEBHOOK_MASTER_MIN = 32, /* bytes of WEBHOOK_SECRET */
    WEBHOOK_GENERATION_MAX = 1000000,
    WEBHOOK_BASE64_SIZE = 45, /* of 32 bytes, with the NUL */
    WEBHOOK_SECRET_SIZE = sizeof("whsec_") - 1 + WEBHOOK_BASE64_SIZE,
    WEBHOOK_ID_SIZE = sizeof("msg_") + 32,
    WEBHOOK_SIGNATURE_SIZE = sizeof("v1,") - 1 + WEBHOOK_BASE64_SIZE,
    WEBHOOK_SIGNATURES_SIZE = 2 * WEBHOOK_SIGNATURE_SIZE,
};

/* The bytes that sign: those of the secret's base64. A derived key has 32 of them. */
struct webhook_key {
    unsigned char bytes[SHA256_SIZE];
    size_t len;
};

int webhook_key_derive(struct webhook_key *out, const char *master, const char *client, int generation) MUST_CHECK;

void webhook_secret_write(char out[WEBHOOK_SECRET_SIZE], const struct webhook_key *key);

/* full_id: <client>.<task_id>; epoch and n: of the event. */
int webhook_id_make(char out[WEBHOOK_ID_SIZE], const char *full_id, int64_t epoch, int64_t n) MUST_CHECK;

struct webhook_message {
    const char *id;
    int64_t seconds; /* since 1970, of this delivery */
    const char *body;
    size_t len;
};

int webhook_sign(char out[WEBHOOK_SIGNATURE_SIZE], const struct webhook_key *key,
                 const struct webhook_message *message) MUST_CHECK;

/* The value of webhook-signature: by the secret of this generation, then by that of the one before, if there was one. */
int webhook_sign_all(char out[WEBHOOK_SIGNATURES_SIZE], const char *master, const char *client, int generation,
                     const struct webhook_message *message) MUST_CHECK;

/* Identifies a WEBHOOK_SECRET without giving it away, so that programs with different ones can be found. */
enum { WEBHOOK_FINGERPRINT_SIZE = 17 };
int webhook_fingerprint(char out[WEBHOOK_FINGERPRINT_SIZE], const char *master) MUST_CHECK;

#endif
