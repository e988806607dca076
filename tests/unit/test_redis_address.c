/* Redis URLs: the parts of valid ones, the errors of invalid ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "common/base/macros.h"
#include "common/redis/address.h"

static const struct {
    const char *name, *url, *host;
    int port;
    const char *path, *user, *password;
    int db;
    bool tls;
    const char *text;
} good[] = {
    {"a host alone",                      "redis://cache",                     "cache",             6379,  NULL,                    NULL, NULL,     0,  false, "redis://cache:6379/0"},
    {"a trailing slash",                  "redis://cache/",                    "cache",             6379,  NULL,                    NULL, NULL,     0,  false, "redis://cache:6379/0"},
    {"host, port and database",           "redis://10.0.0.1:7000/15",          "10.0.0.1",          7000,  NULL,                    NULL, NULL,     15, false,
     "redis://10.0.0.1:7000/15"                                                                                                                                                      },
    {"the last port",                     "redis://h:65535",                   "h",                 65535, NULL,                    NULL, NULL,     0,  false, "redis://h:65535/0"   },
    {"TLS",                               "rediss://redis.example.com:6380/1", "redis.example.com", 6380,  NULL,                    NULL, NULL,     1,  true,
     "rediss://redis.example.com:6380/1"                                                                                                                                             },
    {"the scheme in capitals",            "REDIS://h",                         "h",                 6379,  NULL,                    NULL, NULL,     0,  false, "redis://h:6379/0"    },
    {"a password",                        "redis://:secret@h",                 "h",                 6379,  NULL,                    NULL, "secret", 0,  false, "redis://h:6379/0"    },
    {"user and password",                 "redis://me:secret@h:1/2",           "h",                 1,     NULL,                    "me", "secret", 2,  false, "redis://h:1/2"       },
    {"an empty password of a named user", "redis://me:@h",                     "h",                 6379,  NULL,                    "me", "",       0,  false, "redis://h:6379/0"    },
    {"percent-encoded bytes",             "redis://m%65:%40%2f%3A%25@h",       "h",                 6379,  NULL,                    "me", "@/:%",   0,  false,
     "redis://h:6379/0"                                                                                                                                                              },
    {"a colon in the password",           "redis://me:a:b@h",                  "h",                 6379,  NULL,                    "me", "a:b",    0,  false, "redis://h:6379/0"    },
    {"IPv6",                              "redis://[::1]",                     "::1",               6379,  NULL,                    NULL, NULL,     0,  false, "redis://[::1]:6379/0"},
    {"IPv6 with everything",              "rediss://:p@[2001:db8::1]:7/3",     "2001:db8::1",       7,     NULL,                    NULL, "p",      3,  true,
     "rediss://[2001:db8::1]:7/3"                                                                                                                                                    },
    {"a socket path",                     "unix:///run/redis/redis.sock",      NULL,                0,     "/run/redis/redis.sock", NULL, NULL,     0,  false,
     "unix:///run/redis/redis.sock"                                                                                                                                                  },
    {"a socket path and a database",      "unix:///s?db=4",                    NULL,                0,     "/s",                    NULL, NULL,     4,  false, "unix:///s?db=4"      },
    {"a socket path with a user",         "unix://me:p%20w@/s",                NULL,                0,     "/s",                    "me", "p w",    0,  false, "unix:///s"           },
    {"a socket path with a password",     "unix://:p@/s?db=1",                 NULL,                0,     "/s",                    NULL, "p",      1,  false, "unix:///s?db=1"      },
    {"a socket path with an @ and a %",   "unix:///run/@r/50%/@",              NULL,                0,     "/run/@r/50%/@",         NULL, NULL,     0,  false,
     "unix:///run/@r/50%/@"                                                                                                                                                          },
};

#define LONG_PATH                                                                                                      \
    "/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/1234567"

static const struct {
    const char *name, *url, *why;
} bad[] = {
    {"nothing",                             "",                                     "the scheme is not"       },
    {"no scheme",                           "localhost:6379",                       "the scheme is not"       },
    {"another scheme",                      "http://h",                             "the scheme is not"       },
    {"a cluster",                           "redis+cluster://h:1,h:2",              "Cluster is not supported"},
    {"sentinels without a master's name",   "redis+sentinel://h",                   "/master-name must follow"},
    {"sentinels with an empty name",        "redis+sentinel://h/",                  "/master-name must follow"},
    {"sentinels with an odd name",          "redis+sentinel://h/a%20b",             "/master-name must follow"},
    {"no sentinel",                         "redis+sentinel:///m",                  "host is missing"         },
    {"no sentinel after the comma",         "redis+sentinel://h,/m",                "host is missing"         },
    {"no sentinel between commas",          "redis+sentinel://a,,b/m",              "host is missing"         },
    {"a sentinel's port that is not one",   "redis+sentinel://a:1,b:x/m",           "port is not"             },
    {"nine sentinels",                      "redis+sentinel://a,b,c,d,e,f,g,h,i/m", "more than 8"             },
    {"a master's database that is not one", "redis+sentinel://h/m/x",               "database is not"         },
    {"a query after the master",            "redis+sentinel://h/m?db=1",            "only /db"                },
    {"sentinels over TLS",                  "rediss+sentinel://h/m",                "the scheme is not"       },
    {"one slash",                           "redis:/h",                             "the scheme is not"       },
    {"no host",                             "redis://",                             "host is missing"         },
    {"no host before the port",             "redis://:6379",                        "host is missing"         },
    {"no host before the database",         "redis:///0",                           "host is missing"         },
    {"no host after the password",          "redis://:p@",                          "host is missing"         },
    {"an odd byte in the host",             "redis://a$b",                          "host is missing or not"  },
    {"no port after the colon",             "redis://h:",                           "port is not"             },
    {"port 0",                              "redis://h:0",                          "port is not"             },
    {"a port above the last",               "redis://h:65536",                      "port is not"             },
    {"a port that would wrap around",       "redis://h:4294967297",                 "port is not"             },
    {"a port with a sign",                  "redis://h:+1",                         "port is not"             },
    {"a port in hex",                       "redis://h:0x10",                       "port is not"             },
    {"a database that is a word",           "redis://h/main",                       "database is not"         },
    {"a negative database",                 "redis://h/-1",                         "database is not"         },
    {"a database above the maximum",        "redis://h/1000000",                    "database is not"         },
    {"text after the database",             "redis://h/0/1",                        "database is not"         },
    {"a query after the database",          "redis://h/0?x=1",                      "database is not"         },
    {"a query",                             "redis://h?db=1",                       "only /db"                },
    {"a fragment",                          "redis://h#1",                          "only /db"                },
    {"a space",                             "redis://h /0",                         "space or a control"      },
    {"a line break",                        "redis://h\r\n",                        "space or a control"      },
    {"IPv6 without brackets",               "redis://::1",                          "host is missing"         },
    {"IPv6 and port without brackets",      "redis://2001:db8::1:6379",             "must be in brackets"     },
    {"a bracket that stays open",           "redis://[::1",                         "host is missing"         },
    {"no IPv6 in the brackets",             "redis://[localhost]",                  "not an IPv6 address"     },
    {"an IPv6 zone",                        "redis://[fe80::1%25eth0]",             "not an IPv6 address"     },
    {"text after the brackets",             "redis://[::1]x",                       "only :port may follow"   },
    {"a user alone",                        "redis://me@h",                         "has no password"         },
    {"an empty password alone",             "redis://:@h",                          "password is empty"       },
    {"an @ in the password",                "redis://:a@b@h",                       "as %40"                  },
    {"a slash in the password",             "redis://:a/b@h",                       "host is missing"         },
    {"a cut percent code",                  "redis://:a%4@h",                       "two hex digits"          },
    {"a percent code that is not one",      "redis://:a%zz@h",                      "two hex digits"          },
    {"an encoded NUL",                      "redis://:a%00b@h",                     "two hex digits"          },
    {"a percent code in the user",          "redis://%:p@h",                        "two hex digits"          },
    {"no path",                             "unix://",                              "not absolute"            },
    {"the root as a path",                  "unix:///",                             "not absolute"            },
    {"a relative path",                     "unix://run/s",                         "not absolute"            },
    {"a path that no socket can have",      "unix://" LONG_PATH,                    "too long for a socket"   },
    {"an unknown query",                    "unix:///s?user=me",                    "only ?db=n"              },
    {"no database",                         "unix:///s?db=",                        "database is not"         },
    {"two queries",                         "unix:///s?db=1&x=2",                   "database is not"         },
};

static void assert_text(const char *got, const char *want)
{
    assert_string_equal(got ? got : "(none)", want ? want : "(none)");
}

static void valid_urls_are_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct redis_address address;
        const char *why = "";
        char text[128];

        print_message("  %s\n", good[i].name);
        assert_int_equal(redis_address_parse(good[i].url, &address, &why), 0);
        assert_text(address.host, good[i].host);
        assert_int_equal(address.port, good[i].port);
        assert_text(address.path, good[i].path);
        assert_text(address.user, good[i].user);
        assert_text(address.password, good[i].password);
        assert_int_equal(address.db, good[i].db);
        assert_int_equal(address.tls, good[i].tls);
        assert_null(address.ca_file);
        redis_address_text(&address, text, sizeof(text));
        assert_string_equal(text, good[i].text);
        redis_address_deinit(&address);
    }
}

static void invalid_urls_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct redis_address address = {.port = 1};
        const char *why = "";

        print_message("  %s\n", bad[i].name);
        assert_int_equal(redis_address_parse(bad[i].url, &address, &why), ERR_SYNTAX);
        if (!strstr(why, bad[i].why))
            fail_msg("why: %s", why);
        assert_int_equal(address.port, 1); /* untouched */
    }
}

static void a_long_text_is_truncated(void **state)
{
    struct redis_address address;
    const char *why;
    char text[8];

    (void)state;
    assert_int_equal(redis_address_parse("redis://me:secret@host", &address, &why), 0);
    redis_address_text(&address, text, sizeof(text));
    assert_string_equal(text, "redis:/");
    redis_address_deinit(&address);
}

static const struct {
    const char *name, *url;
    size_t count;
    const char *last, *master, *user, *password, *text;
    int last_port, db;
} sentinels[] = {
    {"one",                                           "redis+sentinel://h/mymaster",            1, "h",   "mymaster",     NULL, NULL,   "redis+sentinel://h:26379/mymaster/0", 26379,
     0                                                                                                                                                                                 },
    {"three with ports, user, password and database",
     "redis+sentinel://me:p%40ss@a:1,10.0.0.2:2,[::1]:3/my.master-1_/7",                        3, "::1", "my.master-1_", "me", "p@ss",
     "redis+sentinel://a:1,10.0.0.2:2,[::1]:3/my.master-1_/7",                                                                                                                 3,     7},
    {"eight",                                         "redis+sentinel://a,b,c,d,e,f,g,h:5/m/0", 8, "h",   "m",            NULL, NULL,
     "redis+sentinel://a:26379,b:26379,c:26379,d:26379,e:26379,f:26379,g:26379,h:5/m/0",                                                                                       5,     0},
};

static void sentinel_urls_are_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(sentinels); i++) {
        struct redis_address address;
        const char *why = "";
        char text[128];

        print_message("  %s\n", sentinels[i].name);
        assert_int_equal(redis_address_parse(sentinels[i].url, &address, &why), 0);
        assert_null(address.host);
        assert_int_equal(address.sentinel_count, sentinels[i].count);
        assert_text(address.sentinels[address.sentinel_count - 1].name, sentinels[i].last);
        assert_int_equal(address.sentinels[address.sentinel_count - 1].port, sentinels[i].last_port);
        assert_text(address.master, sentinels[i].master);
        assert_text(address.user, sentinels[i].user);
        assert_text(address.password, sentinels[i].password);
        assert_int_equal(address.db, sentinels[i].db);
        redis_address_text(&address, text, sizeof(text));
        assert_string_equal(text, sentinels[i].text);
        redis_address_deinit(&address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_urls_are_parsed),
        cmocka_unit_test(sentinel_urls_are_parsed),
        cmocka_unit_test(invalid_urls_are_refused_with_a_reason),
        cmocka_unit_test(a_long_text_is_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
