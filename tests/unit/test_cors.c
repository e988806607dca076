#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base/macros.h"
#include "gateway/access/cors.h"

#define A "https://a.example"
#define B "http://localhost:3000"

/* clang-format off */
static const struct { const char *name, *origins, *origin, *allowed; } cases[] = {
    { "every page, by default",            "*",                A,                           "*"  },
    { "every page, also without Origin",   "*",                "",                          "*"  },
    { "a star with blanks",                " * ",              A,                           "*"  },
    { "the first of a list",               A "," B,            A,                           A    },
    { "the last of a list, with blanks",   A " ,\t" B " ",     B,                           B    },
    { "empty items count for nothing",     ",," A ",",         A,                           A    },
    { "another origin",                    A "," B,            "https://b.example",         NULL },
    { "a longer origin",                   A,                  A ".evil.com",               NULL },
    { "a shorter origin",                  A,                  "https://a.exampl",          NULL },
    { "another scheme",                    A,                  "http://a.example",          NULL },
    { "another port",                      A,                  A ":444",                    NULL },
    { "capitals",                          A,                  "https://A.example",         NULL },
    { "the null origin",                   A,                  "null",                      NULL },
    { "no Origin",                         A,                  "",                          NULL },
    { "a star in a list is no wildcard",   A ",*",             "https://b.example",         NULL },
    { "a list of nothing",                 ",",                A,                           NULL },
};
/* clang-format on */

static void test_origins(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct cors *cors = cors_create(cases[i].origins);
        const char *allowed;

        print_message("  %s\n", cases[i].name);
        assert_non_null(cors);
        allowed = cors_allowed(cors, cases[i].origin, strlen(cases[i].origin));
        assert_int_equal(allowed != NULL, cases[i].allowed != NULL);
        if (allowed && cases[i].allowed)
            assert_string_equal(allowed, cases[i].allowed);
        cors_destroy(cors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
