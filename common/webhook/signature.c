#include "common/webhook/signature.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

enum { ID_BYTES = 16, NAME_SIZE = 512, STAMP_MAX = 64 };

int webhook_key_derive(struct webhook_key *out, const char *master, const char *client, int generation)
{
    char about[NAME_SIZE];
    int len = snprintf(about, sizeof(about), "arkrelay webhook secret\n%s\n%d", client, generation);

    if (len < 0 || len >= (int)sizeof(about))
        return ERR_TOO_LONG;
    out->len = sizeof(out->bytes);
    return sha256_hmac(out->bytes, master, strlen(master), about, (size_t)len);
}

static void write_base64(char out[WEBHOOK_BASE64_SIZE], const unsigned char *bytes, size_t len)
{
    (void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

void webhook_secret_write(char out[WEBHOOK_SECRET_SIZE], const struct webhook_key *key)
{
    static const char prefix[] = "whsec_";

    memcpy(out, prefix, sizeof(prefix) - 1);
    write_base64(out + sizeof(prefix) - 1, key->bytes, key->len);
}

int webhook_id_make(char out[WEBHOOK_ID_SIZE], const char *full_id, int64_t epoch, int64_t n)
{
    unsigned char digest[SHA256_SIZE];
    char about[NAME_SIZE], hex[SHA256_HEX_SIZE];
    int len = snprintf(about, sizeof(about), "%s %" PRId64 " %" PRId64, full_id, epoch, n);
    int err = len < 0 || len >= (int)sizeof(about) ? ERR_TOO_LONG : sha256(digest, about, (size_t)len);

    if (err)
        return err;
    sha256_hex(hex, digest);
    (void)snprintf(out, WEBHOOK_ID_SIZE, "msg_%.*s", 2 * ID_BYTES, hex);
    return 0;
}

int webhook_sign(char out[WEBHOOK_SIGNATURE_SIZE], const struct webhook_key *key, const struct webhook_message *message)
{
    unsigned char digest[SHA256_SIZE];
    struct buf text;
    int err;

    buf_init(&text, message->len + WEBHOOK_ID_SIZE + STAMP_MAX + strlen(message->id));
    buf_addf(&text, "%s.%" PRId64 ".", message->id, message->seconds);
    buf_add(&text, message->body, message->len);
    err = buf_error(&text);
    if (!err)
        err = sha256_hmac(digest, key->bytes, key->len, buf_text(&text), text.len);
    buf_deinit(&text);
    if (err)
        return err;
    memcpy(out, "v1,", sizeof("v1,") - 1);
    write_base64(out + sizeof("v1,") - 1, digest, sizeof(digest));
    return 0;
}

int webhook_sign_all(char out[WEBHOOK_SIGNATURES_SIZE], const char *master, const char *client, int generation,
                     const struct webhook_message *message)
{
    struct webhook_key key;
    size_t len;
    int err = webhook_key_derive(&key, master, client, generation);

    if (!err)
        err = webhook_sign(out, &key, message);
    if (err || generation <= 1)
        return err;
    len = strlen(out);
    out[len++] = ' '; /* exactly one: some verifiers split at each */
    err = webhook_key_derive(&key, master, client, generation - 1);
    return err ? err : webhook_sign(out + len, &key, message);
}

int webhook_fingerprint(char out[WEBHOOK_FINGERPRINT_SIZE], const char *master)
{
    static const char about[] = "arkrelay webhook fingerprint";
    unsigned char digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    int err = sha256_hmac(digest, master, strlen(master), about, sizeof(about) - 1);

    if (err)
        return err;
    sha256_hex(hex, digest);
    (void)snprintf(out, WEBHOOK_FINGERPRINT_SIZE, "%.*s", WEBHOOK_FINGERPRINT_SIZE - 1, hex);
    return 0;
}
