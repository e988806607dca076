#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/base/macros.h"
#include "common/http/address_limit.h"

enum { MANY = 1000 };

static uint32_t acquire(struct http_address_limit *limit, const char *host)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        return http_address_limit_acquire(limit, (const struct sockaddr *)(const void *)&v4);
    assert_int_equal(inet_pton(AF_INET6, host, &v6.sin6_addr), 1);
    return http_address_limit_acquire(limit, (const struct sockaddr *)(const void *)&v6);
}

static void test_which_addresses_share_a_limit(void **state)
{
    static const struct {
        const char *name, *first, *second;
        bool share;
    } cases[] = {
        {"the same IPv4 address",                    "192.0.2.1",        "192.0.2.1",            true },
        {"adjacent IPv4 addresses",                  "192.0.2.1",        "192.0.2.2",            false},
        {"the same IPv6 address",                    "2001:db8::1",      "2001:db8::1",          true },
        {"two IPv6 addresses of one /64",            "2001:db8::1",      "2001:db8::ffff:0:0:2", true },
        {"two IPv6 addresses of one /63",            "2001:db8:0:2::1",  "2001:db8:0:3::1",      false},
        {"an IPv4 address and its mapped IPv6 form", "192.0.2.1",        "::ffff:192.0.2.1",     true },
        {"two mapped IPv4 addresses",                "::ffff:192.0.2.1", "::ffff:192.0.2.2",     false},
        {"the loopback addresses of both families",  "127.0.0.1",        "::1",                  false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_address_limit *limit = http_address_limit_create(8, 1);

        print_message("  %s\n", cases[i].name);
        assert_true(acquire(limit, cases[i].first) != 0);
        assert_int_equal(acquire(limit, cases[i].second) == 0, cases[i].share);
        http_address_limit_destroy(limit);
    }
}

static void test_a_released_connection_can_be_acquired_again(void **state)
{
    struct http_address_limit *limit = http_address_limit_create(8, 2);
    uint32_t entry = acquire(limit, "192.0.2.1");

    (void)state;
    assert_int_equal(acquire(limit, "192.0.2.1"), entry);
    assert_int_equal(acquire(limit, "192.0.2.1"), 0);
    http_address_limit_release(limit, entry);
    assert_int_equal(acquire(limit, "192.0.2.1"), entry);
    assert_int_equal(acquire(limit, "192.0.2.1"), 0);
    http_address_limit_destroy(limit);
}

/* The table has MANY entries, so every round needs all entries of the round before. */
static void test_released_entries_are_reused(void **state)
{
    struct http_address_limit *limit = http_address_limit_create(MANY, 5);
    uint32_t entries[MANY];
    char host[64];

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(host, sizeof(host), "2001:db8:%x:%x::1", round, i);
            entries[i] = acquire(limit, host);
            assert_true(entries[i] != 0);
        }
        assert_int_equal(acquire(limit, "192.0.2.1"), 0);
        for (int i = 0; i < MANY; i++) /* in another order than they were acquired */
            http_address_limit_release(limit, entries[(i * 7 + round) % MANY]);
    }
    assert_true(acquire(limit, "192.0.2.1") != 0);
    http_address_limit_destroy(limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_addresses_share_a_limit),
        cmocka_unit_test(test_a_released_connection_can_be_acquired_again),
        cmocka_unit_test(test_released_entries_are_reused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
