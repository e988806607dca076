/* Rules for image links: links that are fetched from another address, and links that may point into a private network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/web/link_rules.h"

static const char *const trusted[] = {"http://127.0.0.1:8081/api/v3", "", "https://ark.cn-beijing.volces.com/api/v3",
                                      NULL};
static const char map[] =
    "http://localhost:8081/=http://ark-sim:8081/, http://Pictures.example/a=https://10.0.0.7/store/ "
    "http://pictures.example/a/b=http://10.0.0.8,";

static const struct {
    const char *name, *link, *url; /* NULL: refused */
    bool may_be_private;
} rows[] = {
    {"a public link",                        "https://x.tos-cn-beijing.volces.com/a.jpg?X-Tos-Date=1&b=%2F",
     "https://x.tos-cn-beijing.volces.com/a.jpg?X-Tos-Date=1&b=%2F",                                                                                 false},
    {"the trusted host",                     "http://127.0.0.1:8081/images/1.jpg",                           "http://127.0.0.1:8081/images/1.jpg",   true },
    {"another port of it",                   "http://127.0.0.1:8082/images/1.jpg",                           "http://127.0.0.1:8082/images/1.jpg",   false},
    {"another scheme of it",                 "https://127.0.0.1:8081/images/1.jpg",                          "https://127.0.0.1:8081/images/1.jpg",  false},
    {"a trusted host with its own port",     "https://ARK.cn-beijing.volces.com:443/x",
     "https://ARK.cn-beijing.volces.com:443/x",                                                                                                      true },
    {"a host that begins the same",          "http://127.0.0.1.example:8081/x",                              "http://127.0.0.1.example:8081/x",      false},
    {"a mapped link",                        "http://localhost:8081/images/1.jpg?a=b",                       "http://ark-sim:8081/images/1.jpg?a=b", true },
    {"a mapped link in capitals",            "HTTP://LOCALHOST:8081/Images/1.jpg",                           "http://ark-sim:8081/Images/1.jpg",     true },
    {"a mapped host without a path",         "http://localhost:8081",                                        "http://ark-sim:8081/",                 true },
    {"a mapped host, another port",          "http://localhost:808/x",                                       "http://localhost:808/x",               false},
    {"a mapped path",                        "http://pictures.example:80/a/1.png",                           "https://10.0.0.7/store/1.png",         true },
    {"a mapped path itself",                 "http://pictures.example/a",                                    "https://10.0.0.7/store",               true },
    {"a mapped path and a query",            "http://pictures.example/a?x",                                  "https://10.0.0.7/store?x",             true },
    {"a longer mapped path",                 "http://pictures.example/a/b/1.png",                            "http://10.0.0.8/1.png",                true },
    {"a path that begins the same",          "http://pictures.example/ab/1.png",                             "http://pictures.example/ab/1.png",     false},
    {"a path that leads out again",          "http://pictures.example/a/../c",                               "http://pictures.example/c",            false},
    {"the internal side of the map",         "http://ark-sim:8081/x",                                        "http://ark-sim:8081/x",                true },
    {"the trusted host in another spelling", "http://2130706433:8081/x",                                     "http://127.0.0.1:8081/x",              true },
    {"a user",                               "http://user@127.0.0.1:8081/x",                                 NULL,                                   false},
    {"a password",                           "http://:secret@127.0.0.1:8081/x",                              NULL,                                   false},
    {"a file",                               "file:///etc/passwd",                                           NULL,                                   false},
    {"gopher",                               "gopher://127.0.0.1:8081/x",                                    NULL,                                   false},
    {"FTP",                                  "ftp://127.0.0.1:8081/x",                                       NULL,                                   false},
    {"data",                                 "data:image/png;base64,AAAA",                                   NULL,                                   false},
    {"no scheme",                            "//127.0.0.1:8081/x",                                           NULL,                                   false},
    {"nothing",                              "",                                                             NULL,                                   false},
    {"a line end",                           "http://127.0.0.1:8081/x\r\nHost: y",                           NULL,                                   false},
};

static struct link_rules *create(const char *const *list, const char *mapped)
{
    struct link_rules *rules = NULL;
    struct buf why;

    buf_init(&why, 4096);
    assert_int_equal(link_rules_create(list, mapped, &rules, &why), 0);
    assert_string_equal(buf_text(&why), "");
    buf_deinit(&why);
    return rules;
}

static void test_links_are_mapped_or_refused(void **state)
{
    struct link_rules *rules = create(trusted, map);

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        bool may_be_private = false;
        struct buf url;

        print_message("  %s\n", rows[i].name);
        buf_init(&url, 4096);
        assert_int_equal(link_rules_apply(rules, rows[i].link, &url, &may_be_private), rows[i].url ? 0 : ERR_SYNTAX);
        assert_string_equal(buf_text(&url), rows[i].url ? rows[i].url : "");
        assert_int_equal(may_be_private, rows[i].may_be_private);
        buf_deinit(&url);
    }
    assert_null(link_rules_destroy(rules));
}

static void test_without_rules_public_links_are_unchanged(void **state)
{
    static const char *const nothing[] = {NULL};
    struct link_rules *rules = create(nothing, "");
    bool may_be_private = true;
    struct buf url;

    (void)state;
    buf_init(&url, 4096);
    assert_int_equal(link_rules_apply(rules, "http://127.0.0.1/", &url, &may_be_private), 0);
    assert_false(may_be_private);
    buf_deinit(&url);
    assert_null(link_rules_destroy(rules));
    assert_null(link_rules_destroy(NULL));
}

static void test_wrong_rules_are_refused_with_a_reason(void **state)
{
    static const char *const maps[] = {"http://a",
                                       "http://a=",
                                       "=http://a",
                                       "http://a=ftp://b",
                                       "http://a?x=http://b",
                                       "http://a=http://b#c",
                                       "http://a=http://b=c",
                                       "http://a=http://u@b",
                                       "a=b"};
    static const char *const nothing[] = {NULL}, *const bad[] = {"ark.example", NULL};
    struct link_rules *rules = NULL;
    struct buf why;

    (void)state;
    buf_init(&why, 4096);
    for (size_t i = 0; i < ARRAY_LENGTH(maps); i++) {
        print_message("  %s\n", maps[i]);
        assert_int_equal(link_rules_create(nothing, maps[i], &rules, &why), ERR_SYNTAX);
        assert_non_null(strstr(buf_text(&why), maps[i]));
        buf_clear(&why);
    }
    assert_int_equal(link_rules_create(bad, "", &rules, &why), ERR_SYNTAX);
    assert_string_equal(buf_text(&why), "\"ark.example\" is not an http or https URL without user name");
    assert_null(rules);
    buf_deinit(&why);
}

static void test_the_map_has_a_limit(void **state)
{
    static const char *const nothing[] = {NULL};
    struct link_rules *rules = NULL;
    struct buf text, why;

    (void)state;
    buf_init(&text, 4096);
    buf_init(&why, 4096);
    for (int i = 0; i < LINK_RULES_MAX; i++)
        buf_addf(&text, "http://a%d=http://b%d ", i, i);
    rules = create(nothing, buf_text(&text));
    assert_null(link_rules_destroy(rules));
    buf_add_text(&text, "http://c=http://d");
    assert_int_equal(link_rules_create(nothing, buf_text(&text), &rules, &why), ERR_SYNTAX);
    buf_deinit(&text);
    buf_deinit(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_are_mapped_or_refused),
        cmocka_unit_test(test_without_rules_public_links_are_unchanged),
        cmocka_unit_test(test_wrong_rules_are_refused_with_a_reason),
        cmocka_unit_test(test_the_map_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
