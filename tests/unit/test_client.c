#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/access/client.h"

/* clang-format off */
static const struct { const char *name, *text; bool good; } names[] = {
    { "a word",                             "shop", true },
    { "one letter",                         "a", true },
    { "one digit",                          "7", true },
    { "dashes and underscores inside",      "a-b_c-", true },
    { "as long as it may be",               "c2345678901234567890123456789012", true },
    { "one too long",                       "c23456789012345678901234567890123", false },
    { "nothing",                            "", false },
    { "those without a key have this one",  "public", false },
    { "a name that begins like that",       "public2", true },
    { "capitals",                           "Shop", false },
    { "a dash first",                       "-shop", false },
    { "a dot, which ends the client in an id", "a.b", false },
    { "a brace, which ends a hash tag",     "a}b", false },
    { "a blank",                            "a b", false },
    { "a letter of another alphabet",       "caf\xc3\xa9", false },
};
/* clang-format on */

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        print_message("  %s\n", names[i].name);
        assert_int_equal(client_name_is_valid(names[i].text, strlen(names[i].text)), names[i].good);
    }
}

static void test_the_same_name_always_gets_the_same_client(void **state)
{
    struct clients *clients = clients_create();
    struct client *first[300];
    char name[16];

    (void)state;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "c%d", i * 7 % 300);
        first[i] = clients_get(clients, name);
        assert_non_null(first[i]);
        assert_string_equal(first[i]->name, name);
    }
    for (int i = 0; i < 300; i++)
        assert_ptr_equal(clients_get(clients, first[i]->name), first[i]);
    assert_null(clients_destroy(clients));
    assert_null(clients_destroy(NULL));
}

static void test_limits_can_be_set_again(void **state)
{
    struct client client = {.name = "shop"};

    (void)state;
    for (int64_t base = 0; base < 3; base++) {
        const struct client_limits limits = {
            .most = {base, base + 10, base + 20, base + 30, base + 40, base + 50}
        };

        client_set_limits(&client, &limits);
        for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
            assert_int_equal(client_limit(&client, (enum client_limit)i), base + 10 * i);
    }
}

static void test_streams_are_refused_above_the_limit(void **state)
{
    struct client client = {.name = "shop"};

    (void)state;
    client_set_limits(&client, &(struct client_limits){.most = {[CLIENT_STREAMS] = 2}});
    assert_true(client_enter_stream(&client));
    assert_true(client_enter_stream(&client));
    assert_false(client_enter_stream(&client));
    client_leave_stream(&client);
    assert_true(client_enter_stream(&client));
    client_set_limits(&client, &(struct client_limits){.most = {[CLIENT_STREAMS] = 1}});
    client_leave_stream(&client);
    assert_false(client_enter_stream(&client));
    client_leave_stream(&client);
    assert_true(client_enter_stream(&client));
    client_set_limits(&client, &(struct client_limits){.most = {[CLIENT_STREAMS] = 0}});
    for (int i = 0; i < 1000; i++)
        assert_true(client_enter_stream(&client));
}

enum { THREADS = 4, ROUNDS = 20000, MOST = 3 };

struct crowd {
    struct client client;
    _Atomic(int64_t) inside;
    _Atomic(int64_t) most, passed;
};

static void *enter_and_leave_streams(void *arg)
{
    struct crowd *crowd = arg;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t inside;

        if (!client_enter_stream(&crowd->client))
            continue;
        inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        if (inside > atomic_load(&crowd->most))
            atomic_store(&crowd->most, inside);
        atomic_fetch_add(&crowd->passed, 1);
        atomic_fetch_sub(&crowd->inside, 1);
        client_leave_stream(&crowd->client);
    }
    return NULL;
}

static void test_concurrent_threads_never_exceed_the_stream_limit(void **state)
{
    struct crowd crowd = {.client = {.name = "shop"}};
    pthread_t threads[THREADS];

    (void)state;
    client_set_limits(&crowd.client, &(struct client_limits){.most = {[CLIENT_STREAMS] = MOST}});
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave_streams, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_in_range(atomic_load(&crowd.most), 1, MOST);
    assert_true(atomic_load(&crowd.passed) > 0);
    assert_int_equal(atomic_load(&crowd.client.streams), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_same_name_always_gets_the_same_client),
        cmocka_unit_test(test_limits_can_be_set_again),
        cmocka_unit_test(test_streams_are_refused_above_the_limit),
        cmocka_unit_test(test_concurrent_threads_never_exceed_the_stream_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
