#include "common/base/sha256.h"

#include <openssl/err.h>
#include <openssl/evp.h>
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

int sha256(unsigned char out[SHA256_SIZE], const char *bytes, size_t len)
{
    EVP_MD *known = atomic_load(&algorithm), *md = known ? known : fetch();

    if (md && EVP_Digest(bytes, len, out, NULL, md, NULL) == 1)
        return 0;
    ERR_clear_error(); /* the thread's next TLS call would report the leftover error as its own */
    return ERR_NO_MEMORY;
}
