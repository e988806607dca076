#include "common/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

/* pthread_once(), not call_once(): ThreadSanitizer sees the order that it makes. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *algorithm;

static void fetch(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

int sha256(unsigned char out[SHA256_SIZE], const char *bytes, size_t len)
{
    pthread_once(&fetched, fetch);
    return algorithm && EVP_Digest(bytes, len, out, NULL, algorithm, NULL) == 1 ? 0 : ERR_SYSTEM;
}
