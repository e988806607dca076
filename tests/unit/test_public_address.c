/* Addresses that may be connected to for a client's link, and addresses that are blocked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/macros.h"
#include "common/base/public_address.h"

/* For each blocked range: the address before it, its first, its last, and the address after it. */
static const struct {
    const char *text;
    bool is_public;
} rows[] = {
    {"0.0.0.0",                                false},
    {"0.255.255.255",                          false},
    {"1.0.0.0",                                true },
    {"9.255.255.255",                          true },
    {"10.0.0.0",                               false},
    {"10.255.255.255",                         false},
    {"11.0.0.0",                               true },
    {"100.63.255.255",                         true },
    {"100.64.0.0",                             false},
    {"100.127.255.255",                        false},
    {"100.128.0.0",                            true },
    {"126.255.255.255",                        true },
    {"127.0.0.1",                              false},
    {"127.255.255.255",                        false},
    {"128.0.0.0",                              true },
    {"169.253.255.255",                        true },
    {"169.254.169.254",                        false},
    {"169.255.0.0",                            true },
    {"172.15.255.255",                         true },
    {"172.16.0.0",                             false},
    {"172.31.255.255",                         false},
    {"172.32.0.0",                             true },
    {"192.0.0.8",                              false},
    {"192.0.1.0",                              true },
    {"192.0.2.255",                            false},
    {"192.88.98.255",                          true },
    {"192.88.99.1",                            false},
    {"192.167.255.255",                        true },
    {"192.168.0.0",                            false},
    {"192.169.0.0",                            true },
    {"198.17.255.255",                         true },
    {"198.18.0.0",                             false},
    {"198.19.255.255",                         false},
    {"198.20.0.0",                             true },
    {"198.51.100.7",                           false},
    {"203.0.113.7",                            false},
    {"203.0.114.0",                            true },
    {"223.255.255.255",                        true },
    {"224.0.0.0",                              false},
    {"240.0.0.0",                              false},
    {"255.255.255.255",                        false},
    {"::",                                     false},
    {"::1",                                    false},
    {"::7f00:1",                               false},
    {"::8.8.8.8",                              false},
    {"::ffff:8.8.8.8",                         true },
    {"::ffff:127.0.0.1",                       false},
    {"::ffff:169.254.169.254",                 false},
    {"::fffe:8.8.8.8",                         false},
    {"64:ff9b::8.8.8.8",                       true },
    {"64:ff9b::10.0.0.1",                      false},
    {"64:ff9b::1:8.8.8.8",                     false},
    {"64:ff9b:1::8.8.8.8",                     false},
    {"100::1",                                 false},
    {"1fff:ffff::",                            false},
    {"2000::1",                                true },
    {"2001::1",                                false},
    {"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", false},
    {"2001:200::",                             true },
    {"2001:db8::1",                            false},
    {"2001:db9::1",                            true },
    {"2002:808:808::1",                        false},
    {"2003::1",                                true },
    {"2606:4700::1111",                        true },
    {"3ffe::1",                                true },
    {"3fff:fff:ffff::1",                       false},
    {"3fff:1000::1",                           true },
    {"4000::1",                                false},
    {"5f00::1",                                false},
    {"fc00::1",                                false},
    {"fdff::1",                                false},
    {"fe80::1",                                false},
    {"fec0::1",                                false},
    {"ff02::1",                                false},
};

static bool check_address(const char *text)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    if (strchr(text, ':')) {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        return address_is_public((struct sockaddr *)&v6);
    }
    assert_int_equal(inet_pton(AF_INET, text, &v4.sin_addr), 1);
    return address_is_public((struct sockaddr *)&v4);
}

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        print_message("  %s\n", rows[i].text);
        assert_int_equal(check_address(rows[i].text), rows[i].is_public);
    }
}

static void test_other_families_are_not_public(void **state)
{
    const struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};

    (void)state;
    assert_false(address_is_public((const struct sockaddr *)&path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_other_families_are_not_public),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
