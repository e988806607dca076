#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/task/task_spec.h"
#include "gateway/request/public_host.h"
#include "gateway/request/url_check.h"

#define UPLOAD "upload:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* clang-format off */
static const struct { const char *name, *url; enum url_flaw flaw; } links[] = {
    { "a plain link",                        "https://example.com/a.jpg",              URL_FINE },
    { "http",                                "http://example.com/a.jpg",               URL_FINE },
    { "a scheme in capitals",                "HTTPS://example.com/",                   URL_FINE },
    { "no path",                             "https://example.com",                    URL_FINE },
    { "a query after the host",              "https://example.com?x=1",                URL_FINE },
    { "a fragment after the host",           "https://example.com#x",                  URL_FINE },
    { "a port",                              "https://example.com:8443/a",             URL_FINE },
    { "the highest port",                    "https://example.com:65535/a",            URL_FINE },
    { "a signed link",                       "https://b.tos-cn.volces.com/a.png?X-Tos-Signature=ab%2Fc&e=1", URL_FINE },
    { "an at sign in the path",              "https://example.com/@me/a.jpg",          URL_FINE },
    { "Chinese in the path",                 "https://example.com/图.jpg",             URL_FINE },
    { "a public IPv4 address",               "http://8.8.8.8/a.jpg",                   URL_FINE },
    { "a public IPv6 address",               "http://[2606:4700::1111]:80/a.jpg",      URL_FINE },
    { "an underscore in a host",             "https://my_bucket.example.com/a",        URL_FINE },
    { "the root's dot",                      "https://example.com./a",                 URL_FINE },

    { "empty",                               "",                                       URL_EMPTY },
    { "a space",                             "https://example.com/a b",                URL_BAD_BYTE },
    { "a leading space",                     " https://example.com/",                  URL_BAD_BYTE },
    { "a line end",                          "https://example.com/\n",                 URL_BAD_BYTE },
    { "a tab inside of the scheme",          "ht\ttps://example.com/",                 URL_BAD_BYTE },
    { "DEL",                                 "https://example.com/\x7f",               URL_BAD_BYTE },
    { "a backslash that some take as slash", "https://example.com\\@evil.com/",        URL_BAD_BYTE },
    { "file",                                "file:///etc/passwd",                     URL_BAD_SCHEME },
    { "gopher",                              "gopher://example.com/",                  URL_BAD_SCHEME },
    { "no scheme",                           "//example.com/a",                        URL_BAD_SCHEME },
    { "one slash",                           "https:/example.com/",                    URL_BAD_SCHEME },
    { "a bare name",                         "example.com/a.jpg",                      URL_BAD_SCHEME },
    { "javascript",                          "javascript:alert(1)",                    URL_BAD_SCHEME },
    { "no host",                             "https:///a.jpg",                         URL_NO_HOST },
    { "only a port",                         "https://:80/",                           URL_NO_HOST },
    { "user and password",                   "https://user:pw@example.com/",           URL_HAS_USER },
    { "a user that looks like the host",     "https://example.com@10.0.0.1/",          URL_HAS_USER },
    { "a percent in the host",               "https://127.0.0.1%2f.example.com/",      URL_BAD_HOST },
    { "Chinese in the host",                 "https://例子.com/",                      URL_BAD_HOST },
    { "a label without letters",             "https://example..com/",                  URL_BAD_HOST },
    { "a leading dot",                       "https://.example.com/",                  URL_BAD_HOST },
    { "an open bracket",                     "https://[::1/",                          URL_BAD_HOST },
    { "a scope in an IPv6 address",          "https://[fe80::1%25eth0]/",              URL_BAD_HOST },
    { "something between bracket and port",  "https://[2606:4700::1]x:80/",            URL_BAD_HOST },
    { "port 0",                              "https://example.com:0/",                 URL_BAD_PORT },
    { "a port too high",                     "https://example.com:65536/",             URL_BAD_PORT },
    { "an empty port",                       "https://example.com:/",                  URL_BAD_PORT },
    { "a port of letters",                   "https://example.com:http/",              URL_BAD_PORT },
    { "loopback",                            "http://127.0.0.1/",                      URL_NOT_PUBLIC },
    { "loopback with a port",                "http://127.0.0.1:6379/",                 URL_NOT_PUBLIC },
    { "IPv6 loopback",                       "http://[::1]/",                          URL_NOT_PUBLIC },
    { "the cloud's metadata",                "http://169.254.169.254/latest",          URL_NOT_PUBLIC },
    { "a hexadecimal address",               "http://0x7f.1/",                         URL_NOT_PUBLIC },
    { "an address as one number",            "http://2130706433/",                     URL_NOT_PUBLIC },
    { "localhost",                           "http://LocalHost:8000/",                 URL_NOT_PUBLIC },
    { "dots after the host",                  "https://example.com../a",                 URL_BAD_HOST },
    { "an address before a fragment with @",  "https://127.0.0.1#@example.com/",         URL_NOT_PUBLIC },
    { "an address before a query with @",     "https://127.0.0.1?@example.com/",         URL_NOT_PUBLIC },
    { "the fragment names no host",           "https://example.com#@127.0.0.1/",         URL_FINE },
    { "an empty user",                        "https://@127.0.0.1/",                     URL_HAS_USER },
    { "a second at sign",                     "https://a@b@127.0.0.1/",                  URL_HAS_USER },
    { "a semicolon before an at sign",        "https://example.com;@127.0.0.1/",         URL_HAS_USER },
    { "an escaped digit",                     "https://%31%32%37.0.0.1/",                URL_BAD_HOST },
    { "an escaped dot",                       "https://127%2e0%2e0%2e1/",                URL_BAD_HOST },
    { "an escaped NUL",                       "https://example.com%00.evil.com/",        URL_BAD_HOST },
    { "an escaped line end",                  "https://example.com%0d%0a/",              URL_BAD_HOST },
    { "wide digits",                          "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", URL_BAD_HOST },
    { "an ideographic full stop",             "http://127\xe3\x80\x82" "0.0.1/",            URL_BAD_HOST },
    { "a letter in a circle",                 "http://\xe2\x93\x9bocalhost/",            URL_BAD_HOST },
    { "a soft hyphen",                        "https://local\xc2\xadhost.com/",          URL_BAD_HOST },
    { "a backslash for the slashes",          "https:\\\\example.com/",                  URL_BAD_BYTE },
    { "a backslash after the host",           "https://example.com\\.10.0.0.1/",         URL_BAD_BYTE },
    { "a tab in the host",                    "https://exam\tple.com/",                  URL_BAD_BYTE },
    { "a carriage return in the host",        "https://example.com\r/",                  URL_BAD_BYTE },
    { "a byte below space",                   "https://example.com/\x01",                URL_BAD_BYTE },
    { "three slashes",                        "http:///127.0.0.1/",                      URL_NO_HOST },
    { "no slashes",                           "http:127.0.0.1",                          URL_BAD_SCHEME },
    { "a scheme after a scheme",              "http://http://127.0.0.1/",                URL_BAD_PORT },
    { "two ports",                            "https://example.com:443:80/",             URL_BAD_PORT },
    { "a signed port",                        "https://example.com:+80/",                URL_BAD_PORT },
    { "a port with a leading zero",           "https://example.com:0080/",               URL_FINE },
    { "a port of many digits",                "https://example.com:00000000000000000080/", URL_BAD_PORT },
    { "a hexadecimal port",                   "https://example.com:0x50/",               URL_BAD_PORT },
    { "a port of wide digits",                "https://example.com:\xef\xbc\x98\xef\xbc\x90/", URL_BAD_PORT },
    { "a v4-mapped address",                  "http://[::ffff:127.0.0.1]/",              URL_NOT_PUBLIC },
    { "a v4-mapped address in hexadecimal",   "http://[::ffff:7f00:1]/",                 URL_NOT_PUBLIC },
    { "an escaped scope",                     "http://[::1%25lo]/",                      URL_BAD_HOST },
    { "a bare scope",                         "http://[fe80::1%eth0]/",                  URL_BAD_HOST },
    { "a dot after the bracket",              "http://[2606:4700::1111]./",              URL_BAD_HOST },
    { "an IPv6 address without brackets",     "http://::1/",                             URL_NO_HOST },
    { "a future address",                     "http://[v1.fe80::a]/",                    URL_NOT_PUBLIC },
    { "loopback with the root's dot",         "http://127.0.0.1./",                      URL_NOT_PUBLIC },
    { "loopback in three parts",              "http://127.0.1/",                         URL_NOT_PUBLIC },
    { "loopback in octal digits",             "http://017700000001/",                    URL_NOT_PUBLIC },
    { "the metadata in mixed digits",         "http://0xa9.254.0251.254/",               URL_NOT_PUBLIC },
    { "a number that overflows to loopback",  "http://6425673729/",                      URL_NOT_PUBLIC },
    { "zero",                                 "http://0/",                               URL_NOT_PUBLIC },
    { "WebSocket",                            "ws://example.com/",                       URL_BAD_SCHEME },
    { "FTP",                                  "ftp://example.com/",                      URL_BAD_SCHEME },
    { "a blob",                               "blob:https://example.com/1",              URL_BAD_SCHEME },
    { "a scheme's spelling with a wide letter", "http\xef\xbd\x93://example.com/",         URL_BAD_SCHEME },
    { "a data URL where they are off",       "data:image/png;base64,AAAA",             URL_DATA_OFF },
    { "an upload",                           UPLOAD,                                   URL_FINE },
    { "an upload without an id",             "upload:",                                URL_BAD_UPLOAD },
    { "an upload whose id goes on",          UPLOAD "0",                               URL_BAD_UPLOAD },
    { "an upload with a path",               UPLOAD "/a.jpg",                          URL_BAD_UPLOAD },
    { "an id that is too short",             "upload:0123456789abcdef",                URL_BAD_UPLOAD },
    { "an id in capitals",                   "upload:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", URL_BAD_UPLOAD },
    { "an upload in capitals",               "UPLOAD:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", URL_BAD_SCHEME },
};

static const struct { const char *name, *url; enum url_flaw flaw; } inlined[] = {
    { "a picture",                           "data:image/png;base64,iVBORw0KGgo=",     URL_FINE },
    { "two bytes of padding",                "data:image/jpeg;base64,AA==",            URL_FINE },
    { "every letter",                        "data:image/svg+xml;base64,Az09+/AA",     URL_FINE },
    { "a link is still fine",                "https://example.com/",                   URL_FINE },
    { "no picture",                          "data:text/html;base64,AAAA",             URL_BAD_DATA },
    { "no type",                             "data:image/;base64,AAAA",                URL_BAD_DATA },
    { "not base64",                          "data:image/png,AAAA",                    URL_BAD_DATA },
    { "no data",                             "data:image/png;base64,",                 URL_BAD_DATA },
    { "only padding",                        "data:image/png;base64,====",             URL_BAD_DATA },
    { "a letter outside of base64",          "data:image/png;base64,AA*A",             URL_BAD_DATA },
    { "a line end",                          "data:image/png;base64,AAA\n",            URL_BAD_DATA },
    { "three bytes of padding",              "data:image/png;base64,A===",             URL_BAD_DATA },
    { "padding in the middle",               "data:image/png;base64,AA=AAAAA",         URL_BAD_DATA },
    { "a length that is no base64",          "data:image/png;base64,AAAAA",            URL_BAD_DATA },
    { "a parameter",                         "data:image/png;x=y;base64,AAAA",         URL_BAD_DATA },
};

static const struct { const char *host; bool is_public; } hosts[] = {
    { "example.com", true },       { "a.b.example.co.uk", true }, { "1.1.1.1", true },         { "9.255.255.255", true },
    { "11.0.0.0", true },          { "100.63.255.255", true },    { "100.128.0.0", true },     { "172.15.255.255", true },
    { "172.32.0.0", true },        { "192.167.255.255", true },   { "192.169.0.0", true },     { "198.17.255.255", true },
    { "198.20.0.0", true },        { "223.255.255.255", true },   { "[2606:4700::1]", true },  { "[2400:cb00::1]", true },
    { "[64:ff9b::808:808]", true },{ "localhost.com", true },     { "3com.com", true },

    { "0.0.0.0", false },          { "0.1.2.3", false },          { "10.0.0.1", false },       { "10.255.255.255", false },
    { "100.64.0.1", false },       { "100.127.255.255", false },  { "127.0.0.1", false },      { "127.255.255.254", false },
    { "169.254.0.1", false },      { "172.16.0.1", false },       { "172.31.255.255", false }, { "192.0.0.1", false },
    { "192.0.2.1", false },        { "192.168.0.1", false },      { "192.168.255.255", false },{ "198.18.0.1", false },
    { "198.19.255.255", false },   { "198.51.100.1", false },     { "203.0.113.1", false },    { "224.0.0.1", false },
    { "240.0.0.1", false },        { "255.255.255.255", false },
    { "127.1", false },            { "0177.0.0.1", false },       { "0x7f000001", false },     { "1.2.3", false },
    { "1.2.3.4.5", false },        { "256.1.1.1", false },        { "8.8.8.08", false },       { "8.8.8.0x8", false },
    { "0x", false },
    { "[::]", false },             { "[::1]", false },            { "[::ffff:8.8.8.8]", false },{ "[::ffff:127.0.0.1]", false },
    { "[fc00::1]", false },        { "[fdff::1]", false },        { "[fe80::1]", false },      { "[fec0::1]", false },
    { "[ff02::1]", false },        { "[2001:db8::1]", false },    { "[2001::1]", false },      { "[2002:7f00:1::]", false },
    { "[64:ff9b::7f00:1]", false },{ "[64:ff9b::a00:1]", false }, { "[]", false },             { "[1]", false },
    { "localhost", false },        { "a.localhost", false },      { "LOCALHOST.", false },     { "redis", false },
    { "printer.local", false },    { "vault.internal", false },   { "nas.lan", false },        { "", false },   { ".", false },
    { "localhost.localdomain", false }, { "db.localdomain", false }, { "nas.home.arpa", false }, { "redis.default.svc", false },
    { "a.svc.cluster.local", false }, { "metadata.google.internal", false }, { "host.docker.internal", false }, { "x.LOCAL.", false },
    { "192.88.99.1", false },      { "192.88.98.1", true },        { "192.0.1.1", true },        { "100.100.100.200", false },
    { "[64:ff9b:1::1]", false },   { "[64:ff9b::a9fe:a9fe]", false }, { "[5f00::1]", false },    { "[100::1]", false },
    { "[3fff::1]", false },        { "[2001:db9::1]", true },      { "[::7f00:1]", false },      { "[0:0:0:0:0:0:0:1]", false },
    { "[2606:4700::1", false },    { "[2606:4700::8.8.8.8]", true }, { "[fe80::1%25lo]", false }, { "[ff0e::1]", false },
    { "example.com..", false },    { "example..com", true /* url_check refuses it */ }, { "1.example", false }, { "a.b", true },
};
/* clang-format on */

static void test_links(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        print_message("  %s\n", links[i].name);
        assert_int_equal(url_check(links[i].url, strlen(links[i].url), false), links[i].flaw);
    }
}

/* clang-format off */
static const struct { const char *url; bool any_host; enum url_flaw flaw; } webhooks[] = {
    { "https://example.com/hook?token=a%20b&c=d", false, URL_FINE },
    { "http://example.com:8080/",                 false, URL_FINE },
    { "https://[2606:4700::1]/",                  false, URL_FINE },
    { "http://127.0.0.1:9000/",                   false, URL_NOT_PUBLIC },
    { "http://127.0.0.1:9000/",                   true,  URL_FINE },
    { "http://receiver:9000/",                    true,  URL_FINE },
    { "http://localhost",                         false, URL_NOT_PUBLIC },
    { "http://u:p@127.0.0.1/",                    true,  URL_HAS_USER },
    { "ftp://example.com/",                       true,  URL_BAD_SCHEME },
    { "data:image/png;base64,AAAA",               true,  URL_BAD_SCHEME },
    { "",                                         true,  URL_EMPTY },
    { "https://example.com/\"x",                  false, URL_NOT_ENCODED },
    { "https://example.com/{id}",                 false, URL_NOT_ENCODED },
    { "https://example.com/\xe5\x9b\xbe",         false, URL_NOT_ENCODED },
    { "https://example.com/a b",                  false, URL_BAD_BYTE },
    { "https://example.com/a\r\nX: y",            false, URL_BAD_BYTE },
};
/* clang-format on */

static void test_webhooks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(webhooks); i++) {
        print_message("  %s\n", webhooks[i].url);
        assert_int_equal(url_check_webhook(webhooks[i].url, strlen(webhooks[i].url), webhooks[i].any_host),
                         webhooks[i].flaw);
    }
}

static void test_data_urls_are_accepted_only_if_enabled(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(inlined); i++) {
        print_message("  %s\n", inlined[i].name);
        assert_int_equal(url_check(inlined[i].url, strlen(inlined[i].url), true), inlined[i].flaw);
    }
}

static void test_the_longest_url_has_exactly_the_maximum_length(void **state)
{
    char url[TASK_URL_MAX + 2];
    int head = snprintf(url, sizeof(url), "https://example.com/");

    (void)state;
    memset(url + head, 'a', sizeof(url) - (size_t)head);
    assert_int_equal(url_check(url, TASK_URL_MAX, false), URL_FINE);
    assert_int_equal(url_check(url, TASK_URL_MAX + 1, false), URL_TOO_LONG);
}

static void test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        print_message("  %s\n", hosts[i].host);
        assert_int_equal(host_is_public(hosts[i].host, strlen(hosts[i].host)), hosts[i].is_public);
    }
}

/* A host is part of a longer URL, so it is not NUL-terminated. */
static void test_a_host_is_read_up_to_its_length(void **state)
{
    (void)state;
    assert_true(host_is_public("8.8.8.81.evil", 8));
    assert_false(host_is_public("10.0.0.1.example.com", 8));
    assert_false(host_is_public("example.com", 7));
}

static void test_every_flaw_has_a_text(void **state)
{
    (void)state;
    for (int i = 0; i < URL_FLAW_COUNT; i++)
        assert_true(strlen(url_flaw_text((enum url_flaw)i)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_webhooks),
        cmocka_unit_test(test_data_urls_are_accepted_only_if_enabled),
        cmocka_unit_test(test_the_longest_url_has_exactly_the_maximum_length),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_a_host_is_read_up_to_its_length),
        cmocka_unit_test(test_every_flaw_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
