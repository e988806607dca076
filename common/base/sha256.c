#include "common/base/sha256.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>

static _Atomic(EVP_MD *) algorithm; /* NULL until the first fetch succeeds; kept until the process ends */

/* Several threads may fetch it at the same time; the first one publishes its copy, the others free theirs. */
static EVP_MD *fetch(void)
{
    EVP_MD *known = NULL, *fetched = EVP_MD_fetch(NULL, "SHA256", NULL);

    if (!fetched || atomic_compare_exchange_strong(&algorithm, &known, fetched))
        return fetched;
    EVP_MD_free(fetched);
    return known;
}

static EVP_MD *find_algorithm(void)
{
    EVP_MD *known = atomic_load(&algorithm);

    return known ? known : fetch();
}

/* The thread's next TLS call would report a leftover error as its own. */
static int outcome(int succeeded)
{
    if (succeeded)
        return 0;
    ERR_clear_error();
    return ERR_NO_MEMORY;
}

int sha256(unsigned char out[SHA256_SIZE], const char *bytes, size_t len)
{
    EVP_MD *md = find_algorithm();

    return outcome(md && EVP_Digest(bytes, len, out, NULL, md, NULL) == 1);
}

int sha256_hmac(unsigned char out[SHA256_SIZE], const void *key, size_t key_len, const char *bytes, size_t len)
{
    EVP_MD *md = find_algorithm();

    return outcome(md && HMAC(md, key ? key : "", (int)key_len, (const unsigned char *)bytes, len, out, NULL) != NULL);
}

void sha256_hex(char out[SHA256_HEX_SIZE], const unsigned char digest[SHA256_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < SHA256_SIZE; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[SHA256_HEX_SIZE - 1] = '\0';
}

/* -- in pieces. struct sha256_stream is OpenSSL's EVP_MD_CTX. */

static EVP_MD_CTX *context_of(struct sha256_stream *stream)
{
    return (EVP_MD_CTX *)(void *)stream;
}

struct sha256_stream *sha256_stream_create(void)
{
    EVP_MD *md = find_algorithm();
    EVP_MD_CTX *context = md ? EVP_MD_CTX_new() : NULL;

    if (context && EVP_DigestInit_ex(context, md, NULL) == 1)
        return (struct sha256_stream *)(void *)context;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

struct sha256_stream *sha256_stream_destroy(struct sha256_stream *stream)
{
    EVP_MD_CTX_free(context_of(stream));
    return NULL;
}

int sha256_stream_add(struct sha256_stream *stream, const void *bytes, size_t len)
{
    return outcome(EVP_DigestUpdate(context_of(stream), bytes, len) == 1);
}

int sha256_stream_end(struct sha256_stream *stream, unsigned char out[SHA256_SIZE])
{
    return outcome(EVP_DigestFinal_ex(context_of(stream), out, NULL) == 1);
}
