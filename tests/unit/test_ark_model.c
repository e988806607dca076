#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "worker/ark/model.h"

static const struct {
    const char *name, *id, *family;
} cases[] = {
    {"the Volcengine id",                             "doubao-seedream-4-0-250828",       "seedream-4-0"      },
    {"the BytePlus id",                               "seedream-4-0-250828",              "seedream-4-0"      },
    {"the other BytePlus brand",                      "dola-seedream-5-0-pro-260628",     "seedream-5-0-pro"  },
    {"4.5",                                           "doubao-seedream-4-5-251128",       "seedream-4-5"      },
    {"5.0 lite under its short name",                 "doubao-seedream-5-0-260128",       "seedream-5-0"      },
    {"5.0 lite under its long name",                  "doubao-seedream-5-0-lite-260128",  "seedream-5-0-lite" },
    {"5.0 flash",                                     "doubao-seedream-5-0-flash-260915", "seedream-5-0-flash"},
    {"3.0 text to image",                             "doubao-seedream-3-0-t2i-250415",   "seedream-3-0"      },
    {"SeedEdit",                                      "doubao-seededit-3-0-i2i-250628",   "seededit-3-0"      },
    {"a later date",                                  "doubao-seedream-4-5-270101",       "seedream-4-5"      },
    {"no date",                                       "seedream-4-5",                     "seedream-4-5"      },
    {"a gateway's dots",                              "seedream-4.5",                     "seedream-4-5"      },
    {"a gateway's capitals",                          "Doubao-Seedream-5.0-Pro",          "seedream-5-0-pro"  },
    {"an unknown variant gets the row of its family", "doubao-seedream-5-0-mini-270101",  "seedream-5-0"      },
    {"a family must end where a word ends",           "seedream-4-50",                    "unlisted"          },
    {"an endpoint id",                                "ep-20250828101010-abcde",          "unlisted"          },
    {"a name that is not listed",                     "gpt-image-1",                      "unlisted"          },
    {"a later version",                               "doubao-seedream-6-0-270101",       "unlisted"          },
    {"5.5",                                           "doubao-seedream-5-5-261028",       "seedream-5-5"      },
    {"5.5 as a gateway writes it",                    "seedream-5.5",                     "seedream-5-5"      },
    {"no name",                                       "",                                 "unlisted"          },
    {"only the brand",                                "doubao-",                          "unlisted"          },
};

static void finds_the_row_of_a_family(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("  %s\n", cases[i].name);
        assert_string_equal(ark_model_find(cases[i].id)->family, cases[i].family);
    }
}

static void has_the_limits_of_each_model(void **state)
{
    const struct ark_model *pro = ark_model_find("doubao-seedream-5-0-pro-260628");
    const struct ark_model *four = ark_model_find("doubao-seedream-4-0-250828");
    const struct ark_model *five_five = ark_model_find("doubao-seedream-5-5-261028");
    const struct ark_model *text_only = ark_model_find("doubao-seedream-3-0-t2i-250415");

    (void)state;
    assert_true(four->group && four->stream && !four->output_format && !four->web_search);
    assert_true(!pro->group && !pro->stream && pro->output_format && !pro->web_search);
    assert_true(!five_five->group && !five_five->stream && five_five->output_format && five_five->listed);
    assert_int_equal(five_five->refs_max, 10);
    assert_int_equal(five_five->layers_max, 100);
    assert_int_equal(four->refs_max, 14);
    assert_int_equal(pro->refs_max, 10);
    assert_int_equal(text_only->refs_max, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_row_of_a_family),
        cmocka_unit_test(has_the_limits_of_each_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
