#include "gateway/access/key_token.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "common/base/ascii.h"

enum {
    ID_AT = sizeof(KEY_TOKEN_PREFIX) - 1,
    SECRET_AT = ID_AT + KEY_ID_SIZE, /* after the id and its "_" */
    CHECK_AT = SECRET_AT + 2 * KEY_SECRET_BYTES,
};

static bool is_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!ascii_is_lower_hex(text[i]))
            return false;
    return true;
}

bool key_id_is_valid(const char *id, size_t len)
{
    return len == KEY_ID_SIZE - 1 && is_hex(id, len);
}

bool key_digest_is(const unsigned char a[KEY_DIGEST_SIZE], const unsigned char b[KEY_DIGEST_SIZE])
{
    return CRYPTO_memcmp(a, b, KEY_DIGEST_SIZE) == 0;
}

/* The first hex digits of the SHA-256 of everything in front of the checksum. */
static int checksum(char out[KEY_CHECK_CHARS + 1], const char *token)
{
    unsigned char digest[KEY_DIGEST_SIZE];
    int err = sha256(digest, token, CHECK_AT);

    if (!err)
        (void)snprintf(out, KEY_CHECK_CHARS + 1, "%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
    return err;
}

int key_token_make(char out[KEY_TOKEN_SIZE], const char *id, const char *secret)
{
    char check[KEY_CHECK_CHARS + 1];
    int err;

    (void)snprintf(out, KEY_TOKEN_SIZE, KEY_TOKEN_PREFIX "%s_%s", id, secret);
    err = checksum(check, out);
    if (!err)
        memcpy(out + CHECK_AT, check, sizeof(check));
    return err;
}

static bool has_form(const char *token, size_t len)
{
    return len == KEY_TOKEN_LEN && memcmp(token, KEY_TOKEN_PREFIX, ID_AT) == 0 &&
           is_hex(token + ID_AT, KEY_ID_SIZE - 1) && token[SECRET_AT - 1] == '_' &&
           is_hex(token + SECRET_AT, len - SECRET_AT);
}

void key_token_id(char out[KEY_ID_SIZE], const char *token, size_t len)
{
    out[0] = '\0';
    if (has_form(token, len))
        (void)snprintf(out, KEY_ID_SIZE, "%.*s", KEY_ID_SIZE - 1, token + ID_AT);
}

bool key_token_has_typo(const char *token)
{
    char check[KEY_CHECK_CHARS + 1];

    return has_form(token, strlen(token)) && !checksum(check, token) && strcmp(check, token + CHECK_AT) != 0;
}
