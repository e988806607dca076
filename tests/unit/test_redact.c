#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "worker/ark/redact.h"

#define B64_32 "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"

static const struct {
    const char *name, *text, *want;
} cases[] = {
    {"a sentence stays",                  "InvalidParameter: size is too large (HTTP 400)",
     "InvalidParameter: size is too large (HTTP 400)"                                                                           },
    {"an empty text stays empty",         "",                                                  ""                               },
    {"a URL without query stays",         "see https://example.com/a/b.jpg",                   "see https://example.com/a/b.jpg"},
    {"the query of a URL is removed",     "no https://a.example/1.jpg?X-Sig=s3cr3t&e=1 there",
     "no https://a.example/1.jpg?... there"                                                                                     },
    {"a fragment is removed",             "no https://a.example/#s3cr3t",                      "no https://a.example/?..."      },
    {"the scheme in upper case",          "HTTPS://a.example/?s3cr3t",                         "HTTPS://a.example/?..."         },
    {"between quotes and brackets",       "[\"http://a.example/?s3cr3t\"]",                    "[\"http://a.example/?...\"]"    },
    {"right after other text",            "url=http://a.example/?s3cr3t,then",                 "url=http://a.example/?..."      },
    {"two URLs",                          "http://a/?x http://b/?y",                           "http://a/?... http://b/?..."    },
    {"user and password are removed",     "http://me:s3cr3t@a.example/p",                      "http://a.example/p"             },
    {"an @ after the host is not a user", "http://a.example/@you",                             "http://a.example/@you"          },
    {"a URL that ends early",             "http://",                                           "http://"                        },
    {"an image is truncated",             "data:image/png;base64," B64_32 B64_32,              "data:image/png;base64,iV..."    },
    {"a word of 80 bytes or less stays",  "ark=" B64_32,                                       "ark=" B64_32                    },
};

static void test_redact(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char out[256];

        print_message("%s\n", cases[i].name);
        assert_string_equal(redact(out, sizeof(out), cases[i].text), cases[i].want);
    }
}

static void test_output_fits_its_size(void **state)
{
    const char *text = "http://a.example/long/path?query and more";
    char whole[64], out[64];

    (void)state;
    redact(whole, sizeof(whole), text);
    for (size_t size = 1; size < sizeof(out); size++) {
        memset(out, '#', sizeof(out));
        redact(out, size, text);
        assert_true(strlen(out) < size);
        assert_memory_equal(out, whole, strlen(out));
        assert_int_equal(out[size], '#');
    }
}

static const struct {
    const char *name, *text, *secret, *want;
} secrets[] = {
    {"a key is replaced",            "bad key k3y-1, use k3y-2", "k3y-1", "bad key *****, use k3y-2"},
    {"every occurrence is replaced", "aabaab",                   "aa",    "**b**b"                  },
    {"no secret, no change",         "text",                     "",      "text"                    },
    {"NULL as a secret, no change",  "text",                     NULL,    "text"                    },
};

static void test_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(secrets); i++) {
        char text[64];

        print_message("%s\n", secrets[i].name);
        (void)snprintf(text, sizeof(text), "%s", secrets[i].text);
        redact_secret(text, secrets[i].secret);
        assert_string_equal(text, secrets[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redact),
        cmocka_unit_test(test_output_fits_its_size),
        cmocka_unit_test(test_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
