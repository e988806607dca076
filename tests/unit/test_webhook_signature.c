/* Secrets, ids and signatures of webhooks, held to the published vector of Standard Webhooks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "common/webhook/signature.h"

#define MASTER "0123456789abcdef0123456789abcdef"

static struct webhook_message message(const char *body)
{
    return (struct webhook_message){"msg_00112233445566778899aabbccddeeff", 1764500000, body, strlen(body)};
}

/* libraries/javascript/src/index.test.ts of standard-webhooks/standard-webhooks */
static void test_known_signature(void **state)
{
    static const char key_base64[] = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const struct webhook_message sent = {"msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}", 20};
    char signature[WEBHOOK_SIGNATURE_SIZE], secret[WEBHOOK_SECRET_SIZE];
    unsigned char bytes[64];
    struct webhook_key key;

    (void)state;
    assert_int_equal(EVP_DecodeBlock(bytes, (const unsigned char *)key_base64, sizeof(key_base64) - 1), 24);
    memcpy(key.bytes, bytes, 24);
    key.len = 24;
    assert_int_equal(webhook_sign(signature, &key, &sent), 0);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    webhook_secret_write(secret, &key);
    assert_string_equal(secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
}

static void test_secrets_differ(void **state)
{
    static const struct {
        const char *master, *client;
        int generation;
    } others[] = {
        {MASTER,     "shop",  2},
        {MASTER,     "shop1", 1},
        {MASTER "x", "shop",  1},
        {MASTER,     "sho",   1}
    };
    struct webhook_key key, other;

    (void)state;
    assert_int_equal(webhook_key_derive(&key, MASTER, "shop", 1), 0);
    assert_int_equal(webhook_key_derive(&other, MASTER, "shop", 1), 0);
    assert_memory_equal(key.bytes, other.bytes, sizeof(key.bytes));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(webhook_key_derive(&other, others[i].master, others[i].client, others[i].generation), 0);
        assert_memory_not_equal(key.bytes, other.bytes, sizeof(key.bytes));
    }
}

static void test_ids_differ(void **state)
{
    char id[WEBHOOK_ID_SIZE], same[WEBHOOK_ID_SIZE], other[WEBHOOK_ID_SIZE];

    (void)state;
    assert_int_equal(webhook_id_make(id, "shop.t1", 1764500000000, 5), 0);
    assert_int_equal(webhook_id_make(same, "shop.t1", 1764500000000, 5), 0);
    assert_string_equal(id, same);
    assert_int_equal(strlen(id), strlen("msg_") + 32);
    assert_int_equal(strspn(id + 4, "0123456789abcdef"), 32);
    assert_int_equal(webhook_id_make(other, "shop.t1", 1764500000000, 6), 0);
    assert_string_not_equal(id, other);
    assert_int_equal(webhook_id_make(other, "shop.t1", 1764500000001, 5), 0);
    assert_string_not_equal(id, other);
    assert_int_equal(webhook_id_make(other, "shop.t2", 1764500000000, 5), 0);
    assert_string_not_equal(id, other);
}

static void test_two_generations(void **state)
{
    const struct webhook_message sent = message("{}");
    char first[WEBHOOK_SIGNATURE_SIZE], second[WEBHOOK_SIGNATURE_SIZE], all[WEBHOOK_SIGNATURES_SIZE];
    struct webhook_key key;

    (void)state;
    assert_int_equal(webhook_key_derive(&key, MASTER, "shop", 1), 0);
    assert_int_equal(webhook_sign(first, &key, &sent), 0);
    assert_int_equal(webhook_sign_all(all, MASTER, "shop", 1, &sent), 0);
    assert_string_equal(all, first);
    assert_int_equal(webhook_key_derive(&key, MASTER, "shop", 2), 0);
    assert_int_equal(webhook_sign(second, &key, &sent), 0);
    assert_int_equal(webhook_sign_all(all, MASTER, "shop", 2, &sent), 0);
    assert_int_equal(strlen(all), strlen(first) + 1 + strlen(second));
    assert_memory_equal(all, second, strlen(second));
    assert_int_equal(all[strlen(second)], ' ');
    assert_string_equal(all + strlen(second) + 1, first);
}

static void test_fingerprint(void **state)
{
    char one[WEBHOOK_FINGERPRINT_SIZE], other[WEBHOOK_FINGERPRINT_SIZE];

    (void)state;
    assert_int_equal(webhook_fingerprint(one, MASTER), 0);
    assert_int_equal(webhook_fingerprint(other, MASTER "x"), 0);
    assert_string_not_equal(one, other);
    assert_null(strstr(MASTER, one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_signature), cmocka_unit_test(test_secrets_differ),
        cmocka_unit_test(test_ids_differ),      cmocka_unit_test(test_two_generations),
        cmocka_unit_test(test_fingerprint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
