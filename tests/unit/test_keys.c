#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/task/keys.h"

static void test_key_names(void **state)
{
    char prefix[KEYS_PREFIX_SIZE], channel[KEYS_CHANNEL_SIZE], client[KEYS_CLIENT_SIZE];

    (void)state;
    keys_prefix(prefix, 0);
    assert_string_equal(prefix, "arkrelay:{0}:");
    keys_prefix(prefix, UINT_MAX);
    assert_string_equal(prefix, "arkrelay:{4294967295}:");
    keys_wake(prefix, 0);
    assert_string_equal(prefix, "arkrelay:{0}:wake");
    keys_wake(prefix, UINT_MAX);
    assert_string_equal(prefix, "arkrelay:{4294967295}:wake");
    keys_client(client, "shop");
    assert_string_equal(client, "arkrelay:{client:shop}:");
    keys_client(client, "c2345678901234567890123456789012");
    assert_string_equal(client, "arkrelay:{client:c2345678901234567890123456789012}:");
    keys_task_prefix(prefix, "public.t1");
    assert_string_equal(prefix, "arkrelay:{0}:");
    keys_channel(channel, "public.t1");
    assert_string_equal(channel, "arkrelay:{0}:channel:public.t1");
}

static void test_the_longest_channel_is_not_truncated(void **state)
{
    char client[TASK_CLIENT_MAX + 1], id[TASK_ID_MAX + 1], full[TASK_FULL_ID_SIZE], channel[KEYS_CHANNEL_SIZE];

    (void)state;
    memset(client, 'c', sizeof(client) - 1);
    client[TASK_CLIENT_MAX] = '\0';
    memset(id, 'i', sizeof(id) - 1);
    id[TASK_ID_MAX] = '\0';
    task_full_id(full, client, id);
    keys_channel(channel, full);
    assert_string_equal(keys_channel_id(channel), full);
}

/* clang-format off */
static const struct { const char *name, *channel, *id; } channels[] = {
    { "a channel",                      "arkrelay:{0}:channel:public.t1",    "public.t1" },
    { "of a high partition",            "arkrelay:{16383}:channel:a.b",      "a.b" },
    { "an id with colons",              "arkrelay:{0}:channel:a.b:c:d",      "a.b:c:d" },
    { "no id",                          "arkrelay:{0}:channel:",             NULL },
    { "another key",                    "arkrelay:{0}:events:public.t1",     NULL },
    { "another program's",              "other:{0}:channel:public.t1",       NULL },
    { "no partition",                   "arkrelay:{}:channel:public.t1",     NULL },
    { "a partition that is not a number", "arkrelay:{x}:channel:public.t1",    NULL },
    { "cut",                            "arkrelay:{0",                       NULL },
    { "empty",                          "",                                  NULL },
};
/* clang-format on */

static void test_channel_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(channels); i++) {
        const char *id = keys_channel_id(channels[i].channel);

        print_message("  %s\n", channels[i].name);
        if (channels[i].id)
            assert_string_equal(id, channels[i].id);
        else
            assert_null(id);
    }
}

/* clang-format off */
static const struct { const char *name, *id; unsigned partitions, want; } partitions[] = {
    { "one partition has all tasks",          "public.t1",  1,     0 },
    { "0 partitions count as one",            "public.t1",  0,     0 },
    { "crc32 of the check string, modulo",    "123456789",  16384, 0xcbf43926u % 16384 },
    { "all 32 bits are used",                 "123456789",  UINT_MAX, 0xcbf43926u },
    { "the empty text",                       "",           16384, 0 },
    { "zlib agrees on an id",                 "public.t1",  16,    1 },
    { "zlib agrees on another",               "public.a.b", 16384, 2414 },
};
/* clang-format on */

static void test_partitions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(partitions); i++) {
        print_message("  %s\n", partitions[i].name);
        assert_int_equal(keys_partition(partitions[i].id, partitions[i].partitions), partitions[i].want);
    }
}

static void test_ids_spread_over_the_partitions(void **state)
{
    int count[8] = {0};

    (void)state;
    for (int i = 0; i < 8000; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "public.task-%d", i);
        count[keys_partition(id, 8)]++;
    }
    for (int i = 0; i < 8; i++)
        assert_in_range(count[i], 800, 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_names),
        cmocka_unit_test(test_the_longest_channel_is_not_truncated),
        cmocka_unit_test(test_channel_id),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_ids_spread_over_the_partitions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
