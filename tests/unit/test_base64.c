/* base64 of bytes that arrive in pieces: the test vectors of RFC 4648, section 10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/macros.h"

static const struct {
    const char *bytes, *text;
} cases[] = {
    {"",       ""        },
    {"f",      "Zg=="    },
    {"fo",     "Zm8="    },
    {"foo",    "Zm9v"    },
    {"foob",   "Zm9vYg=="},
    {"fooba",  "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void test_pieces_of_every_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t len = strlen(cases[i].bytes);

        for (size_t piece = 1; piece <= len + 1; piece++) {
            struct base64 base64 = {0};
            char out[BASE64_ROOM(8)];
            size_t written = 0;

            for (size_t at = 0; at < len; at += piece)
                written += base64_add(&base64, out + written, cases[i].bytes + at, len - at < piece ? len - at : piece);
            written += base64_end(&base64, out + written);
            assert_string_equal(out, cases[i].text);
            assert_int_equal(written, strlen(cases[i].text));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces_of_every_size)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
