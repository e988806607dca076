/* Memory runs out inside OpenSSL: the call fails, and a later one succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sha256.h"
#include "common/task/task_spec.h"

enum { ALLOCATIONS_MAX = 100000 };

static int left = ALLOCATIONS_MAX; /* allocations left before all fail */

static void *allocate(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return left > 0 && left-- ? malloc(size) : NULL;
}

static void *reallocate(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return left > 0 && left-- ? realloc(block, size) : NULL;
}

static void release(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(block);
}

static void test_each_allocation_may_fail(void **state)
{
    static const char empty[] = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    unsigned char digest[SHA256_SIZE];
    char hash[TASK_HASH_SIZE];
    int failed = 0, err;

    (void)state;
    /* OpenSSL does not handle failed allocations while it loads its algorithms: load them first. */
    EVP_MD_free(EVP_MD_fetch(NULL, "SHA512", NULL));
    do {
        left = failed;
        err = task_spec_hash(hash, "");
        assert_true(!err || err == ERR_NO_MEMORY);
        assert_int_equal(ERR_peek_error(), 0);
        failed += err != 0;
        assert_in_range(failed, 0, ALLOCATIONS_MAX - 1);
    } while (err);
    assert_true(failed > 0);
    assert_string_equal(hash, empty);
    left = 0;
    assert_int_equal(sha256(digest, "x", 1), ERR_NO_MEMORY);
    left = ALLOCATIONS_MAX;
    assert_int_equal(task_spec_hash(hash, ""), 0);
    assert_string_equal(hash, empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_may_fail),
    };

    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
        return EXIT_FAILURE;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
