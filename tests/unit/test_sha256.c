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

static void assert_hex(const unsigned char digest[SHA256_SIZE], const char *expected)
{
    char hex[SHA256_HEX_SIZE];

    sha256_hex(hex, digest);
    assert_string_equal(hex, expected);
}

/* NIST's example "abc", and its second one of 56 bytes, in pieces of every length. */
static void test_pieces_give_the_digest_of_the_whole(void **state)
{
    static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    unsigned char digest[SHA256_SIZE];
    size_t len = strlen(text);

    (void)state;
    assert_int_equal(sha256(digest, "abc", 3), 0);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t piece = 1; piece <= len; piece++) {
        struct sha256_stream *stream = sha256_stream_create();

        assert_non_null(stream);
        for (size_t at = 0; at < len; at += piece)
            assert_int_equal(sha256_stream_add(stream, text + at, at + piece < len ? piece : len - at), 0);
        assert_int_equal(sha256_stream_end(stream, digest), 0);
        assert_hex(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        assert_null(sha256_stream_destroy(stream));
    }
    assert_null(sha256_stream_destroy(NULL));
}

/* RFC 4231, test cases 1, 2, 6, and an empty key. */
static void test_hmac(void **state)
{
    static const char text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    unsigned char key[131], digest[SHA256_SIZE];

    (void)state;
    memset(key, 0x0b, 20);
    assert_int_equal(sha256_hmac(digest, key, 20, "Hi There", 8), 0);
    assert_hex(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(sha256_hmac(digest, "Jefe", 4, "what do ya want for nothing?", 28), 0);
    assert_hex(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    assert_int_equal(sha256_hmac(digest, key, sizeof(key), text, strlen(text)), 0);
    assert_hex(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_int_equal(sha256_hmac(digest, NULL, 0, "", 0), 0);
    assert_hex(digest, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_each_allocation_may_fail),
    };

    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
        return EXIT_FAILURE;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
